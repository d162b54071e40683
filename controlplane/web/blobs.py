"""
Serves signed links to blobs in a directory store, under ``/blobs/…``.

The link is the credential; ``controlplane.core.signing`` decodes what it allows, and this
module enforces it. A body is stored whole and checked, or not at all; none is held in memory.
Tenants' code wrote the blobs, so response headers keep browsers from giving them our origin.
"""

import asyncio
import hashlib
import logging
import mimetypes
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from controlplane.core import signing
from controlplane.core.signing import Grant, LinkError, SigningKeys
from shared.blobs.errors import (
    BlobExistsError,
    BlobNotFoundError,
    BlobOutsideError,
    BlobRangeError,
    BlobStoreError,
)
from shared.blobs.store import BlobInfo, BlobStore, BlobStream
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_TYPES = mimetypes.MimeTypes()
_SHOWN = ("text/", "image/", "application/json", "application/pdf")
_GUARDS = {
    # Tenants' HTML may run scripts, but in an opaque origin without access to ours.
    "Content-Security-Policy": "sandbox allow-scripts; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the URL is the credential
    "Cache-Control": "private, no-cache",
}


class _RefusedBodyError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class SignedBlobs:
    """The routes under ``/blobs``, for a store that signs nothing itself."""

    def __init__(
        self,
        store: BlobStore,
        keys: SigningKeys,
        clock: Clock,
        *,
        idle: timedelta = timedelta(seconds=60),
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._idle = idle  # longest pause of an upload between two chunks

    def routes(self) -> list[Route]:
        path = f"{signing.PREFIX}/{{path:path}}"
        return [Route(path, self._answer, methods=["GET", "HEAD", "PUT"], name="blobs")]

    async def _answer(self, request: Request) -> Response:
        path = request.path_params["path"]
        try:
            grant = signing.verify(
                request.method,
                path,
                dict(request.query_params),
                keys=self._keys,
                now=self._clock.now(),
            )
            uri = self._store.uri(path)
            match request.method:
                case "PUT":
                    return await self._put(request, grant, uri)
                case "HEAD":
                    return await self._head(uri)
                case _:
                    return await self._get(request, uri)
        except LinkError as error:
            return _error_response(403, str(error))
        except BlobNotFoundError:
            return _error_response(404, f"{path} does not exist; it may have been deleted")
        except BlobOutsideError as error:
            return _error_response(400, str(error))
        except BlobStoreError as error:
            logger.exception("blob store failed", extra={"uri": self._store.base})
            return _error_response(503, str(error))

    async def _put(self, request: Request, grant: Grant, uri: str) -> Response:
        try:
            length = _declared_length(request, grant)
            _check_declared_md5(request, grant)
            body = _checked(request, grant, length=length, idle=self._idle)
            replace = request.headers.get("if-none-match") != "*"
            await self._store.write_stream(uri, body, replace=replace)
        except BlobExistsError:
            if not await self._has_content(uri, grant.md5):
                return _error_response(
                    412,
                    f"{grant.path} exists already with other content",
                )
        except _RefusedBodyError as error:
            return _error_response(error.status, str(error))
        except ClientDisconnect:
            logger.info("blob upload aborted by the client", extra={"uri": uri})
            return _error_response(400, "the body ended early; nothing was stored, upload it again")
        info = await self._store.head(uri)
        return Response(status_code=200, headers={"ETag": info.etag} if info else {})

    async def _has_content(self, uri: str, md5: bytes) -> bool:
        """Return whether the blob has this MD5; if so, a repeated upload has succeeded."""
        digest = hashlib.md5(usedforsecurity=False)
        async for chunk in await self._store.stream(uri):
            digest.update(chunk)
        return digest.digest() == md5

    async def _head(self, uri: str) -> Response:
        info = await self._store.head(uri)
        if info is None:
            raise BlobNotFoundError(uri)
        headers = {**_headers(uri, info), "Content-Length": str(info.size)}
        return Response(headers=headers, media_type=_media_type(uri))

    async def _get(self, request: Request, uri: str) -> Response:
        try:
            blob, partial = await self._open(request, uri)
        except BlobRangeError as error:
            info = await self._store.head(uri)
            size = info.size if info else 0
            return _error_response(416, str(error), {"Content-Range": f"bytes */{size}"})
        headers = _headers(uri, blob.info)
        if blob.info.etag and request.headers.get("if-none-match") == blob.info.etag:
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(blob.end - blob.start)
        if partial:
            headers["Content-Range"] = f"bytes {blob.start}-{blob.end - 1}/{blob.info.size}"
        return StreamingResponse(
            aiter(blob),
            status_code=206 if partial else 200,
            headers=headers,
            media_type=_media_type(uri),
        )

    async def _open(self, request: Request, uri: str) -> tuple[BlobStream, bool]:
        """Open the range of the Range header; unsupported forms are ignored, as HTTP allows."""
        match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", request.headers.get("range", ""))
        if match is None or not any(match.groups()):
            return await self._store.stream(uri), False
        info = await self._store.head(uri)
        if info is None:
            raise BlobNotFoundError(uri)
        if request.headers.get("if-range", info.etag) != info.etag:
            return await self._store.stream(uri), False
        first, last = match.groups()
        if first:
            start, end = int(first), int(last) + 1 if last else info.size
        else:
            start, end = max(0, info.size - int(last)), info.size
        if not start < min(end, info.size):
            raise BlobRangeError(uri)
        return await self._store.stream(uri, start=start, end=end), True


def _declared_length(request: Request, grant: Grant) -> int:
    text = request.headers.get("content-length", "")
    if not text.isdigit():
        raise _RefusedBodyError(411, "no Content-Length header; send the body's length in one")
    length = int(text)
    if grant.length is not None and length != grant.length:
        raise _RefusedBodyError(
            413, f"this link is for a body of {grant.length} bytes, not {length}"
        )
    if grant.max_length is not None and length > grant.max_length:
        raise _RefusedBodyError(
            413, f"the body has {length} bytes; this link takes at most {grant.max_length}"
        )
    return length


def _check_declared_md5(request: Request, grant: Grant) -> None:
    text = request.headers.get("content-md5")
    if text is None:
        return
    try:
        declared = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise _RefusedBodyError(400, f"Content-MD5 {text!r} is not base64") from error
    if len(declared) != 16:
        raise _RefusedBodyError(400, f"Content-MD5 {text!r} is not 16 bytes long")
    if grant.md5 and declared != grant.md5:
        raise _RefusedBodyError(
            400, f"Content-MD5 is {text}, but this link is for {_base64(grant.md5)}"
        )


async def _checked(
    request: Request, grant: Grant, *, length: int, idle: timedelta
) -> AsyncIterator[bytes]:
    """Yield the body's chunks; raise if its length or MD5 is not the announced one."""
    digest = hashlib.md5(usedforsecurity=False)
    received = 0
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(idle.total_seconds()):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise _RefusedBodyError(
                408, f"no data came for {idle.total_seconds():.0f} s; upload it again"
            ) from error
        if chunk is None:
            break
        received += len(chunk)
        if received > length:
            raise _RefusedBodyError(413, f"the body goes on after the {length} bytes announced")
        digest.update(chunk)
        if chunk:
            yield chunk
    if received != length:
        raise _RefusedBodyError(400, f"the body ended after {received} of {length} bytes")
    expected_md5 = grant.md5 or b64decode(request.headers.get("content-md5", ""))
    if expected_md5 and digest.digest() != expected_md5:
        raise _RefusedBodyError(
            400,
            f"the body's MD5 is {_base64(digest.digest())}, but {_base64(expected_md5)} was announced;"
            " nothing was stored",
        )


def _headers(uri: str, info: BlobInfo) -> dict[str, str]:
    name = quote(uri.rsplit("/", 1)[-1])
    shown = _media_type(uri).startswith(_SHOWN)
    headers = {
        **_GUARDS,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
    }
    if info.etag:
        headers["ETag"] = info.etag
    return headers


def _media_type(uri: str) -> str:
    kind, encoding = _TYPES.guess_type(uri.rsplit("/", 1)[-1])
    if encoding is not None:  # served as stored, so that no client decompresses it
        return f"application/{encoding}"
    return kind or "application/octet-stream"


def _error_response(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(
        f"{reason}\n", status_code=status, headers={**_GUARDS, **(headers or {})}
    )


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
