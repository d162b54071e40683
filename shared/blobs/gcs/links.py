"""Signs links to the blobs of one bucket of Google Cloud Storage, and to the parts of uploads."""

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import quote

from shared.blobs.gcs import v4
from shared.blobs.gcs.identity import GcsIdentity
from shared.blobs.signing import Verb
from shared.kit.clock import Clock

ENDPOINT = "https://storage.googleapis.com"
_CREATES: Mapping[str, str] = {"x-goog-if-generation-match": "0"}
_NONE: Mapping[str, str] = {}


class GcsLinks:
    def __init__(self, *, bucket: str, endpoint: str, identity: GcsIdentity, clock: Clock) -> None:
        self._bucket = bucket
        self._endpoint = endpoint
        self._identity = identity
        self._clock = clock

    async def sign(self, verb: Verb, key: str, expires: timedelta, *, replace: bool = True) -> str:
        headers = _CREATES if verb == "PUT" and not replace else _NONE
        return await self.sign_request(verb, key, {}, expires, headers)

    def put_headers(self, *, replace: bool) -> Mapping[str, str]:
        return _NONE if replace else _CREATES

    async def sign_request(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        expires: timedelta,
        headers: Mapping[str, str],
    ) -> str:
        """Return a URL for a request with exactly this query and these headers."""
        unsigned = v4.prepare(
            method,
            f"{self._endpoint}/{self._bucket}/{quote(key, safe='/-_.~')}",
            query,
            headers=headers,
            account=await self._identity.email(),
            now=self._clock.now(),
            expires=expires,
        )
        return unsigned.signed(await self._identity.sign(unsigned.to_sign))
