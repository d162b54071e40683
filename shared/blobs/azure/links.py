"""Signs links to the blobs of one container of Azure."""

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import quote

from shared.blobs.azure import sas
from shared.blobs.azure.identity import AzureIdentity
from shared.blobs.signing import IF_ABSENT, Verb
from shared.kit.clock import Clock

_KIND = {"x-ms-blob-type": "BlockBlob"}


class AzureLinks:
    def __init__(
        self, *, account: str, container: str, endpoint: str, identity: AzureIdentity, clock: Clock
    ) -> None:
        """``endpoint``: scheme, host and what comes before the container, without a last slash."""
        self._account = account
        self._container = container
        self._endpoint = endpoint
        self._identity = identity
        self._clock = clock

    async def sign(self, verb: Verb, key: str, expires: timedelta, *, replace: bool = True) -> str:
        permissions = sas.READ if verb == "GET" else sas.WRITE if replace else sas.CREATE
        query = sas.sign(
            await self._identity.signing_key(),
            account=self._account,
            container=self._container,
            blob=key,
            permissions=permissions,
            expiry=self._clock.now() + expires,
            https_only=self._endpoint.startswith("https://"),
        )
        return f"{self._endpoint}/{self._container}/{quote(key, safe='/-_.~')}?{query}"

    def put_headers(self, *, replace: bool) -> Mapping[str, str]:
        return _KIND if replace else {**_KIND, **IF_ABSENT}
