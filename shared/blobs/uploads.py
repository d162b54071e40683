"""Uploads in parts by people without credentials: begun and completed here, signed to them."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit, urlunsplit
from xml.sax.saxutils import escape

from shared.blobs.asking import Answer, UnansweredError, ask
from shared.blobs.errors import BlobNotFoundError, BlobStoreError
from shared.blobs.keys import AccessKeys
from shared.blobs.sigv4 import presign
from shared.blobs.store import BlobStore

_OURS = timedelta(minutes=5)  # of links that are followed at once


class Uploads:
    """Of blobs of a store that signs (``BlobStore.signs``)."""

    def __init__(self, store: BlobStore, keys: AccessKeys, now: Callable[[], datetime]) -> None:
        self._store = store
        self._keys = keys
        self._now = now

    async def begin(self, uri: str) -> str:
        """Return the id of a new upload; BlobStoreError if the store does not begin one."""
        answer = await self._ask("POST", uri, {"uploads": ""})
        found = re.search("<UploadId>([^<]+)</UploadId>", answer.text)
        if answer.status != 200 or found is None:
            raise _refused("begin an upload of", uri, answer)
        return found[1]

    async def sign_part(self, uri: str, upload: str, number: int, expires: timedelta) -> str:
        """Return a URL good for putting one part, counted from 1."""
        return await self._sign(
            "PUT", uri, {"partNumber": str(number), "uploadId": upload}, expires
        )

    async def complete(self, uri: str, upload: str, etags: Sequence[str]) -> None:
        """Make the blob of its parts; said twice, it is done once."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, start=1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = await self._ask("POST", uri, {"uploadId": upload}, body)
        if _is_gone(answer) and await self._store.exists(uri):
            return
        # The store answers 200 before it is done, and may then say that it failed.
        if answer.status != 200 or "<Error>" in answer.text:
            raise _refused("complete the upload of", uri, answer)

    async def abandon(self, uri: str, upload: str) -> None:
        """Give up an upload and its parts; one that is gone already is no error."""
        answer = await self._ask("DELETE", uri, {"uploadId": upload})
        if answer.status not in {200, 204} and not _is_gone(answer):
            raise _refused("abandon the upload of", uri, answer)

    async def _ask(
        self, method: str, uri: str, query: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        url = await self._sign(method, uri, query, _OURS)
        headers = {"Content-Type": "application/xml"} if body else {}
        try:
            return await ask(method, url, headers=headers, body=body)
        except UnansweredError as error:
            raise BlobStoreError(f"the store of {uri} does not answer") from error

    async def _sign(
        self, method: str, uri: str, query: Mapping[str, str], expires: timedelta
    ) -> str:
        # Where the blob is, and in which region, is told by the link that the library signs.
        signed = await self._store.sign_put(uri, expires)
        if signed is None:
            raise BlobStoreError(f"{self._store.base} is no store that signs links")
        there = urlsplit(signed)
        credential = parse_qs(there.query)["X-Amz-Credential"][0]
        return presign(
            method,
            urlunsplit(there._replace(query="", fragment="")),
            query,
            key=await self._keys.current(),
            region=credential.split("/")[2],
            now=self._now(),
            expires=expires,
        )


def _is_gone(answer: Answer) -> bool:
    return answer.status == 404 and "NoSuchUpload" in answer.text


def _refused(verb: str, uri: str, answer: Answer) -> BlobStoreError | BlobNotFoundError:
    found = re.search("<Message>([^<]+)</Message>", answer.text)
    reason = found[1] if found else f"HTTP status {answer.status}"
    if _is_gone(answer):
        return BlobNotFoundError(uri)
    return BlobStoreError(f"the store could not {verb} {uri}: {reason[:300]}")
