"""Bodies of calls: read whole, each within bounds, and all of them together as well."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from dataplane.agent.door import limits
from dataplane.agent.door.refusals import Code, RefusedError


class Bodies:
    """Those that are held at present, from their first byte until their call has ended."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()  # bytes, by pod

    @property
    def held(self) -> int:
        return self._held.total()

    @asynccontextmanager
    async def read(
        self, request: web.BaseRequest, limit: int, *, pod: str = ""
    ) -> AsyncIterator[bytes]:
        """Read the whole body; RefusedError if it is larger, does not come, or has no room."""
        if request.content_length is not None and request.content_length > limit:
            raise too_large(limit)
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(limits.REQUEST_WITHIN.total_seconds()):
                    async for chunk in request.content.iter_any():
                        body += chunk
                        self._held[pod] += len(chunk)
                        self._require_room(pod, len(body), limit)
            except TimeoutError as error:
                raise RefusedError(
                    Code.DEADLINE_EXCEEDED, "the call's body did not come in time"
                ) from error
            yield bytes(body)
        finally:
            self._held[pod] -= len(body)
            if not self._held[pod]:
                del self._held[pod]

    def _require_room(self, pod: str, size: int, limit: int) -> None:
        if size > limit:
            raise too_large(limit)
        if self._held[pod] > limits.BODIES_OF_POD or self.held > limits.BODIES:
            raise RefusedError(Code.UNAVAILABLE, "too many large calls are under way; try again")


def too_large(limit: int) -> RefusedError:
    return RefusedError(
        Code.RESOURCE_EXHAUSTED,
        f"the call is larger than {limit} bytes; upload large data as files",
    )
