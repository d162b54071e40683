"""
Multipart uploads in the XML API of S3, which Google Cloud Storage speaks too.

Only the signatures differ: :class:`S3Requests` and :class:`GcsRequests` make them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs, urlsplit, urlunsplit
from xml.sax.saxutils import escape

from shared.blobs.errors import BlobNotFoundError, BlobStoreError
from shared.blobs.gcs.links import GcsLinks
from shared.blobs.keys import AccessKeys
from shared.blobs.requests import Answer, UnansweredError, send
from shared.blobs.sigv4 import presign
from shared.blobs.store import BlobStore
from shared.blobs.uploads import CRC32, SHORT_LIVED, Part, Upload

_ALGORITHM = "x-amz-checksum-algorithm"
_UNKNOWN_HEADER = frozenset({400, 501})  # answers of stores without support for checksums


class RequestSigner(Protocol):
    """Signs requests to a store; ``verifies_crc32``: whether it may know Amazon's checksums."""

    verifies_crc32: bool

    async def sign(
        self,
        method: str,
        uri: str,
        query: Mapping[str, str],
        expires: timedelta,
        headers: Mapping[str, str],
    ) -> str: ...


class S3Requests:
    verifies_crc32 = True

    def __init__(self, store: BlobStore, keys: AccessKeys, now: Callable[[], datetime]) -> None:
        self._store = store
        self._keys = keys
        self._now = now

    async def sign(
        self,
        method: str,
        uri: str,
        query: Mapping[str, str],
        expires: timedelta,
        headers: Mapping[str, str],
    ) -> str:
        # obstore does not expose the blob's host and region; a link that it signs has both.
        signed = await self._store.sign_put(uri, expires)
        if signed is None:
            raise BlobStoreError(f"{self._store.base} cannot sign links; use a bucket")
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


class GcsRequests:
    verifies_crc32 = False

    def __init__(self, store: BlobStore, links: GcsLinks) -> None:
        self._store = store
        self._links = links

    async def sign(
        self,
        method: str,
        uri: str,
        query: Mapping[str, str],
        expires: timedelta,
        headers: Mapping[str, str],
    ) -> str:
        key = self._store.bucket_key(uri)
        return await self._links.sign_request(method, key, query, expires, headers)


class XmlUploads:
    def __init__(self, store: BlobStore, requests: RequestSigner) -> None:
        self._store = store
        self._requests = requests

    async def begin(self, uri: str, *, crc32: bool = False) -> Upload:
        crc32 = crc32 and self._requests.verifies_crc32
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
        query = {"partNumber": str(number), "uploadId": upload}
        return await self._requests.sign(
            "PUT", uri, query, expires, {CRC32: crc32} if crc32 else {}
        )

    async def complete(self, uri: str, upload: str, parts: Sequence[Part]) -> None:
        listed = "".join(_listed(number, part) for number, part in enumerate(parts, start=1))
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        answer = await self._send("POST", uri, {"uploadId": upload}, body)
        if _is_missing(answer) and await self._store.exists(uri):
            return
        # S3 sends status 200 before it is done; the body may still report an error.
        if answer.status != 200 or "<Error>" in answer.text:
            raise _refused("complete the upload of", uri, answer)

    async def abandon(self, uri: str, upload: str) -> None:
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
        url = await self._requests.sign(method, uri, query, SHORT_LIVED, signed)
        kind = {"Content-Type": "application/xml"} if body else {}
        try:
            return await send(method, url, headers={**signed, **kind}, body=body)
        except UnansweredError as error:
            raise BlobStoreError(f"the store of {uri} does not answer") from error


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
