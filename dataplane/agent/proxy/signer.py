"""
Sign links for copilots, which have no credentials of the bucket.

``POST /copilot/{get,list,put,parts,complete,abandon}``, JSON in and out; the copilot's ``urls``
describes each. A link is valid for a quarter of an hour: a copilot whose link has expired
requests another.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.bodies import Bodies
from dataplane.agent.proxy.callers import Caller
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.metrics import Counts
from dataplane.agent.proxy.pod_limits import PodLimits
from dataplane.agent.proxy.tokens import Tokens
from dataplane.agent.proxy.uri_policy import UriForbiddenError, UriPolicy
from shared.blobs.errors import BlobNotFoundError, BlobOutsideError, BlobStoreError
from shared.blobs.store import BlobStore
from shared.blobs.uploads import CRC32, Part, Uploads

logger = logging.getLogger(__name__)

Json = Mapping[str, Any]
_T = TypeVar("_T")
_R = TypeVar("_R")
_AT_ONCE = 16  # concurrent store requests for one call
_CRC32 = re.compile("[A-Za-z0-9+/]{6}==")


class Signer:
    def __init__(
        self,
        *,
        tokens: Tokens,
        lines: PodLimits,
        bodies: Bodies,
        uri_policy: UriPolicy,
        uploads: Callable[[BlobStore], Uploads],
        counts: Counts,
    ) -> None:
        self._tokens = tokens
        self._lines = lines
        self._bodies = bodies
        self._uri_policy = uri_policy
        self._uploads = uploads
        self._counts = counts
        self._verbs: Mapping[str, Callable[[Caller, Json], Awaitable[Json]]] = {
            "get": self._get,
            "list": self._list,
            "put": self._put,
            "parts": self._parts,
            "complete": self._complete,
            "abandon": self._abandon,
        }

    async def answer(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        try:
            caller = await self._tokens.admit(request.headers.get("authorization"))
            async with self._lines.call(caller.uid):
                reading = self._bodies.read(request, proxy_limits.MAX_REQUEST_BYTES, pod=caller.uid)
                async with reading as body:
                    request_message = _parse(body)
                async with asyncio.timeout(proxy_limits.STORE_WITHIN.total_seconds()):
                    return web.json_response(await self._say(verb, caller, request_message))
        except PodCallRefusedError as refusal:
            error = refusal
        except UriForbiddenError as out:
            error = PodCallRefusedError(Code.INVALID_ARGUMENT, str(out))  # a 403 would be retried
        except BlobNotFoundError as missing:
            error = PodCallRefusedError(Code.INVALID_ARGUMENT, str(missing))
        except BlobOutsideError as outside:
            error = PodCallRefusedError(Code.INVALID_ARGUMENT, str(outside))
        except (BlobStoreError, TimeoutError) as failed:
            logger.warning("links not signed: store error", extra={"detail": str(failed)})
            error = PodCallRefusedError(Code.UNAVAILABLE, f"the store failed: {failed}; try again")
        self._counts.refused(f"copilot/{verb}" if verb in self._verbs else "", error.code)
        return web.Response(status=error.code.status, text=error.message)

    async def _say(self, verb: str, caller: Caller, request_message: Json) -> Json:
        if verb not in self._verbs:
            raise PodCallRefusedError(
                Code.INVALID_ARGUMENT, f"the signer has no operation {verb!r}"
            )
        self._counts.links[verb] += 1
        return await self._verbs[verb](caller, request_message)

    async def _get(self, caller: Caller, request_message: Json) -> Json:
        store = self._store(caller)

        async def link(uri: str) -> Json:
            try:
                await self._uri_policy.require_read(caller, uri)
                return {"url": await store.sign_get(uri, proxy_limits.LINK_LASTS), "headers": {}}
            except (UriForbiddenError, BlobOutsideError) as refused:
                return {"refusal": str(refused)}

        return {"links": await _each(link, _strings(request_message, "uris"))}

    async def _list(self, caller: Caller, request_message: Json) -> Json:
        uri = _text(request_message, "uri").rstrip("/")
        after = request_message.get("after", "")
        if not isinstance(after, str):
            raise PodCallRefusedError(Code.INVALID_ARGUMENT, "'after' is not a path")
        await self._uri_policy.require_read(caller, uri)
        # One more than is returned, to know whether there is more.
        found = await self._store(caller).list_below(
            uri, after=after, limit=proxy_limits.PAGE_BLOBS + 1
        )
        page = found[: proxy_limits.PAGE_BLOBS]
        return {
            "blobs": [{"path": blob.path, "size": blob.size} for blob in page],
            "more": len(found) > len(page),
        }

    async def _put(self, caller: Caller, request_message: Json) -> Json:
        store = self._store(caller)
        uploads = self._uploads(store)
        able = "checksums" in request_message and "crc32" in _list_of(request_message, "checksums")

        async def link(blob: Any) -> Json:
            uri, size = _text(blob, "uri"), _count(blob, "size")
            try:
                self._uri_policy.require_written(caller, uri)
                if size <= proxy_limits.WHOLE_BYTES:
                    return {
                        "url": await store.sign_put(uri, proxy_limits.LINK_LASTS),
                        "headers": dict(store.put_headers()),
                    }
                upload = await uploads.begin(uri, crc32=able)
            except (UriForbiddenError, BlobOutsideError) as refused:
                return {"refusal": str(refused)}
            return {
                "upload": upload.id,
                "part_bytes": max(proxy_limits.PART_BYTES, -(-size // proxy_limits.PARTS)),
                "checksum": "crc32" if upload.wants_crc32 else "",
            }

        return {"links": await _each(link, _list_of(request_message, "blobs"))}

    async def _parts(self, caller: Caller, request_message: Json) -> Json:
        uri, upload, uploads = self._named(caller, request_message)

        async def link(part: tuple[Any, str]) -> Json:
            number, crc32 = part
            if not isinstance(number, int) or not 1 <= number <= proxy_limits.PARTS:
                return {"refusal": f"{number!r} is no part of an upload"}
            url = await uploads.sign_part(uri, upload, number, proxy_limits.LINK_LASTS, crc32=crc32)
            return {"url": url, "headers": {CRC32: crc32} if crc32 else {}}

        numbers = _list_of(request_message, "numbers")
        crc32s = _crc32s(request_message, len(numbers))
        return {"links": await _each(link, list(zip(numbers, crc32s, strict=True)))}

    async def _complete(self, caller: Caller, request_message: Json) -> Json:
        uri, upload, uploads = self._named(caller, request_message)
        etags = _strings(request_message, "etags", at_most=proxy_limits.PARTS)
        crc32s = _crc32s(request_message, len(etags))
        await uploads.complete(
            uri, upload, [Part(*fields) for fields in zip(etags, crc32s, strict=True)]
        )
        return {}

    async def _abandon(self, caller: Caller, request_message: Json) -> Json:
        uri, upload, uploads = self._named(caller, request_message)
        await uploads.abandon(uri, upload)
        return {}

    def _named(self, caller: Caller, request_message: Json) -> tuple[str, str, Uploads]:
        """Return the upload that the request names."""
        uri, upload = _text(request_message, "uri"), _text(request_message, "upload")
        self._uri_policy.require_written(caller, uri)
        return uri, upload, self._uploads(self._store(caller))

    def _store(self, caller: Caller) -> BlobStore:
        store = self._uri_policy.store(caller)
        if not store.signs:
            raise PodCallRefusedError(
                Code.INVALID_ARGUMENT,
                f"{store.base} signs no links: raw containers in Kubernetes need a bucket"
                " (s3://…, gs://…, abfs://…) as the control plane's store",
            )
        return store


def _parse(body: bytes) -> Json:
    try:
        fields = json.loads(body)
        # JSON allows a lone surrogate in a string, UTF-8 does not.
        json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise PodCallRefusedError(Code.INVALID_ARGUMENT, "the request is not JSON") from error
    if not isinstance(fields, dict):
        raise PodCallRefusedError(Code.INVALID_ARGUMENT, "the request is not a JSON object")
    return fields


async def _each(link: Callable[[_T], Awaitable[_R]], asked: Sequence[_T]) -> list[_R]:
    """Call ``link`` for each, a few concurrently; the results keep the order of the requests."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(each: _T) -> _R:
        async with slots:
            return await link(each)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(each)) for each in asked]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


def _list_of(fields: Json, name: str, *, at_most: int = proxy_limits.LINKS_AT_ONCE) -> list[Any]:
    found = fields.get(name)
    if not isinstance(found, list):
        raise PodCallRefusedError(Code.INVALID_ARGUMENT, f"the request has no list of {name!r}")
    if len(found) > at_most:
        raise PodCallRefusedError(
            Code.INVALID_ARGUMENT, f"{len(found)} {name} are too many at once; ask for {at_most}"
        )
    return found


def _strings(fields: Json, name: str, *, at_most: int = proxy_limits.LINKS_AT_ONCE) -> list[str]:
    found = _list_of(fields, name, at_most=at_most)
    if not all(isinstance(each, str) for each in found):
        raise PodCallRefusedError(Code.INVALID_ARGUMENT, f"{name!r} are not all strings")
    return found


def _crc32s(fields: Json, count: int) -> list[str]:
    """Return one for each of ``count`` parts; "" where the upload has none."""
    if "crc32" not in fields:
        return [""] * count
    found = _strings(fields, "crc32", at_most=proxy_limits.PARTS)
    if len(found) != count or not all(map(_CRC32.fullmatch, found)):
        raise PodCallRefusedError(
            Code.INVALID_ARGUMENT, "'crc32' is not one value for each part, in base64"
        )
    return found


def _text(fields: Any, name: str) -> str:
    found = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(found, str) or not found:
        raise PodCallRefusedError(Code.INVALID_ARGUMENT, f"the request has no {name!r}")
    return found


def _count(fields: Json, name: str) -> int:
    found = fields.get(name)
    if not isinstance(found, int) or found < 0:
        raise PodCallRefusedError(Code.INVALID_ARGUMENT, f"the request has no {name!r}")
    return found
