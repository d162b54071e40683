"""
Signs URLs for the copilot: the endpoint of ``dataplane.copilot.urls``, over a bucket.

It does what the agent will do: checks the token, refuses what is not the attempt's, lists,
signs, begins and completes uploads. What goes wrong is planned: see ``Faults``.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import obstore
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from controlplane.core.signing import Method
from tests.integration.copilot.buckets import Bucket

_PAGE = 500


@dataclass(slots=True)
class Faults:
    """Faults that the signer injects next, and the requests it received."""

    answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)  # instead of links
    expired: int = 0  # this many links are no good any more when they are given
    refused: set[str] = field(default_factory=set)  # no links to these, nor to …/parts of them
    silent: asyncio.Event | None = None  # nothing is answered until it is set
    asked: Counter[str] = field(default_factory=Counter)


class Signer:
    """Uploads of more than ``parts_above`` bytes go in parts of ``part_bytes``."""

    def __init__(
        self, bucket: Bucket, *, token: str, parts_above: int | None, part_bytes: int
    ) -> None:
        self.bucket = bucket
        self.faults = Faults()
        self.token = token
        self.checksums = True  # whether it knows of any; an agent of an older release does not
        self._parts_above = parts_above
        self._part_bytes = part_bytes

    def routes(self) -> list[Route]:
        return [Route("/sign/{verb}", self._answer, methods=["POST"])]

    async def _answer(self, request: Request) -> Response:
        verb = request.path_params["verb"]
        self.faults.asked[verb] += 1
        if self.faults.silent is not None:
            await self.faults.silent.wait()
        if self.faults.answers:
            status, headers = self.faults.answers.popleft()
            return PlainTextResponse("as planned", status_code=status, headers=headers)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return PlainTextResponse("this token is not good here", status_code=401)
        verbs: dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]] = {
            "get": self._get,
            "list": self._list,
            "put": self._put,
            "parts": self._parts,
            "complete": self._complete,
            "abandon": self._abandon,
        }
        return JSONResponse(await verbs[verb](await request.json()))

    async def _get(self, asked: dict[str, object]) -> dict[str, object]:
        return {"links": [self._link(Method.GET, uri) for uri in _texts(asked["uris"])]}

    async def _list(self, asked: dict[str, object]) -> dict[str, object]:
        prefix = f"{self._key(str(asked['uri']))}/"
        found = await asyncio.to_thread(lambda: list(obstore.list(self.bucket.store, prefix)))
        blobs = sorted(
            (meta["path"].removeprefix(prefix), meta["size"]) for page in found for meta in page
        )
        later = [(path, size) for path, size in blobs if path > str(asked["after"])]
        return {
            "blobs": [{"path": path, "size": size} for path, size in later[:_PAGE]],
            "more": len(later) > _PAGE,
        }

    async def _put(self, asked: dict[str, object]) -> dict[str, object]:
        blobs = asked["blobs"]
        assert isinstance(blobs, list)
        crc32 = self.checksums and "crc32" in _texts(asked.get("checksums", []))
        return {"links": [await self._put_one(each["uri"], each["size"], crc32) for each in blobs]}

    async def _put_one(self, uri: str, size: int, crc32: bool) -> dict[str, object]:  # noqa: FBT001
        if self._parts_above is None or size <= self._parts_above:
            return self._link(Method.PUT, uri)
        begun = await self.bucket.begin(self._key(uri), crc32=crc32)
        return {**begun, "part_bytes": self._part_bytes}

    async def _parts(self, asked: dict[str, object]) -> dict[str, object]:
        key, numbers = self._key(str(asked["uri"])), asked["numbers"]
        assert isinstance(numbers, list)
        if f"{asked['uri']}/parts" in self.faults.refused:
            return {"links": [{"refusal": "as planned"} for _ in numbers]}
        upload, crc32s = str(asked["upload"]), _crc32s(asked, len(numbers))
        return {
            "links": [
                self.bucket.part_link(key, upload, number, crc32)
                for number, crc32 in zip(numbers, crc32s, strict=True)
            ]
        }

    async def _complete(self, asked: dict[str, object]) -> dict[str, object]:
        key = self._key(str(asked["uri"]))
        etags = _texts(asked["etags"])
        parts = list(zip(etags, _crc32s(asked, len(etags)), strict=True))
        await self.bucket.complete(key, str(asked["upload"]), parts)
        return {}

    async def _abandon(self, asked: dict[str, object]) -> dict[str, object]:
        await self.bucket.abandon(self._key(str(asked["uri"])), str(asked["upload"]))
        return {}

    def _link(self, method: Method, uri: str) -> dict[str, object]:
        if not uri.startswith(f"{self.bucket.base}/"):
            return {"refusal": f"{uri} is not below {self.bucket.base}"}
        if uri in self.faults.refused:
            return {"refusal": "as planned"}
        expired = self.faults.expired > 0
        self.faults.expired -= expired
        return self.bucket.link(method, self._key(uri), expired=expired)

    def _key(self, uri: str) -> str:
        return uri.removeprefix(f"{self.bucket.base}/")


def _crc32s(asked: dict[str, object], count: int) -> Sequence[str]:
    return _texts(asked.get("crc32", [""] * count))


def _texts(value: object) -> Sequence[str]:
    assert isinstance(value, list)
    return [str(each) for each in value]
