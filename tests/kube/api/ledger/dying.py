"""An agent that dies at a write: just before it, or before it receives the answer."""

import asyncio
from datetime import timedelta
from typing import Any, cast

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.requests import Request
from dataplane.agent.kube.transport import Transport


class _Dying:
    def __init__(self, transport: Transport, at_write: int, *, is_executed: bool) -> None:
        self._transport = transport
        self._left = at_write
        self._is_executed = is_executed
        self.died = asyncio.Event()
        self.requests = transport.requests

    async def request_json(self, request: Request, *, at_most: timedelta) -> dict[str, Any]:
        if request.method == "GET":
            return await self._transport.request_json(request, at_most=at_most)
        self._left -= 1
        if self._left > 0:
            return await self._transport.request_json(request, at_most=at_most)
        if self._left == 0 and self._is_executed:
            await self._transport.request_json(request, at_most=at_most)
        self.died.set()
        never: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        return await never


def make_dying(kube: Kube, at_write: int, *, is_executed: bool) -> tuple[Kube, asyncio.Event]:
    """Return a client whose n-th write is its last, and an event that is set at that write."""
    dying = _Dying(kube._transport, at_write, is_executed=is_executed)
    return Kube(cast("Transport", dying), retry_timeout=None), dying.died
