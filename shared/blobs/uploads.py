"""
Uploads in parts by people without credentials: begun and completed here, signed to them.

A store that checks CRC-32s says so when an upload begins. Then each link names its part's,
the store refuses what arrives otherwise, and a blob is made of parts with these CRC-32s only.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit, urlunsplit
from xml.sax.saxutils import escape

from shared.blobs.errors import BlobNotFoundError, BlobStoreError
from shared.blobs.keys import AccessKeys
from shared.blobs.requests import Answer, UnansweredError, send
from shared.blobs.sigv4 import presign
from shared.blobs.store import BlobStore

CRC32 = "x-amz-checksum-crc32"
_ALGORITHM = "x-amz-checksum-algorithm"
_SHORT_LIVED = timedelta(minutes=5)  # of links that are followed at once
_UNKNOWN_HEADER = frozenset({400, 501})  # what stores that know no checksums say to one


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    wants_crc32: bool  # of each part


@dataclass(frozen=True, slots=True)
class Part:
    """What was sent, in order: the store's ETag of it, and its CRC-32 if one was wanted."""

    etag: str
    crc32: str = ""  # base64


class Uploads:
    """Of blobs of a store that signs (``BlobStore.signs``)."""

    def __init__(self, store: BlobStore, keys: AccessKeys, now: Callable[[], datetime]) -> None:
        self._store = store
        self._keys = keys
        self._now = now

    async def begin(self, uri: str, *, crc32: bool = False) -> Upload:
        """
        Begin an upload, with ``crc32`` of each part if the store checks them.

        BlobStoreError if the store does not begin one.
        """
        checksum_headers = {_ALGORITHM: "CRC32"} if crc32 else {}
        answer = await self._send("POST", uri, {"uploads": ""}, headers=checksum_headers)
        if crc32 and answer.status in _UNKNOWN_HEADER:
            return await self.begin(uri)
        found = re.search("<UploadId>([^<]+)</UploadId>", answer.text)
        if answer.status != 200 or found is None:
            raise _refused("begin an upload of", uri, answer)
        return Upload(found[1], crc32 and answer.headers.get(_ALGORITHM, "").upper() == "CRC32")

    async def sign_part(
        self, uri: str, upload: str, number: int, expires: timedelta, *, crc32: str = ""
    ) -> str:
        """
        Return a URL good for putting one part, counted from 1.

        With ``crc32``, in base64, the request has to have it as its header ``CRC32``.
        """
        query = {"partNumber": str(number), "uploadId": upload}
        return await self._sign("PUT", uri, query, expires, {CRC32: crc32} if crc32 else {})

    async def complete(self, uri: str, upload: str, parts: Sequence[Part]) -> None:
        """Make the blob of its parts; said twice, it is done once."""
        listed = "".join(_listed(number, part) for number, part in enumerate(parts, start=1))
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        answer = await self._send("POST", uri, {"uploadId": upload}, body)
        if _is_missing(answer) and await self._store.exists(uri):
            return
        # The store answers 200 before it is done, and may then say that it failed.
        if answer.status != 200 or "<Error>" in answer.text:
            raise _refused("complete the upload of", uri, answer)

    async def abandon(self, uri: str, upload: str) -> None:
        """Give up an upload and its parts; one that is gone already is no error."""
        answer = await self._send("DELETE", uri, {"uploadId": upload})
        if answer.status not in {200, 204} and not _is_missing(answer):
            raise _refused("abandon the upload of", uri, answer)

    async def _send(
        self,
        method: str,
        uri: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        signed = headers or {}
        url = await self._sign(method, uri, query, _SHORT_LIVED, signed)
        kind = {"Content-Type": "application/xml"} if body else {}
        try:
            return await send(method, url, headers={**signed, **kind}, body=body)
        except UnansweredError as error:
            raise BlobStoreError(f"the store of {uri} does not answer") from error

    async def _sign(
        self,
        method: str,
        uri: str,
        query: Mapping[str, str],
        expires: timedelta,
        headers: Mapping[str, str],
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
            headers=headers,
            key=await self._keys.current(),
            region=credential.split("/")[2],
            now=self._now(),
            expires=expires,
        )


def _listed(number: int, part: Part) -> str:
    crc32 = f"<ChecksumCRC32>{escape(part.crc32)}</ChecksumCRC32>" if part.crc32 else ""
    return f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(part.etag)}</ETag>{crc32}</Part>"


def _is_missing(answer: Answer) -> bool:
    return answer.status == 404 and "NoSuchUpload" in answer.text


def _refused(verb: str, uri: str, answer: Answer) -> BlobStoreError | BlobNotFoundError:
    found = re.search("<Message>([^<]+)</Message>", answer.text)
    reason = found[1] if found else f"HTTP status {answer.status}"
    if _is_missing(answer):
        return BlobNotFoundError(uri)
    return BlobStoreError(f"the store could not {verb} {uri}: {reason[:300]}")
