"""Read bodies of calls whole, each limited in size, and all of them together as well."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.errors import Code, PodCallRefusedError


class Bodies:
    """The buffered bodies, from their first byte until their call has ended."""

    def __init__(self) -> None:
        self._buffered: Counter[str] = Counter()  # bytes, by pod

    @property
    def buffered(self) -> int:
        return self._buffered.total()

    @asynccontextmanager
    async def read(
        self, request: web.BaseRequest, limit: int, *, pod: str = ""
    ) -> AsyncIterator[bytes]:
        """
        Read the whole body; PodCallRefusedError if it is too large, late, or exceeds the remaining
        capacity.
        """
        if request.content_length is not None and request.content_length > limit:
            raise too_large(limit)
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(proxy_limits.REQUEST_WITHIN.total_seconds()):
                    async for chunk in request.content.iter_any():
                        body += chunk
                        self._buffered[pod] += len(chunk)
                        self._require_capacity(pod, len(body), limit)
            except TimeoutError as error:
                raise PodCallRefusedError(
                    Code.DEADLINE_EXCEEDED, "the call's body was not received in time; try again"
                ) from error
            yield bytes(body)
        finally:
            self._buffered[pod] -= len(body)
            if not self._buffered[pod]:
                del self._buffered[pod]

    def _require_capacity(self, pod: str, size: int, limit: int) -> None:
        if size > limit:
            raise too_large(limit)
        if self._buffered[pod] > proxy_limits.BODIES_OF_POD or self.buffered > proxy_limits.BODIES:
            raise PodCallRefusedError(
                Code.UNAVAILABLE, "too many large calls are in progress; try again"
            )


def too_large(limit: int) -> PodCallRefusedError:
    return PodCallRefusedError(
        Code.RESOURCE_EXHAUSTED,
        f"the call is larger than {limit} bytes; upload large data as files",
    )
