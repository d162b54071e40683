"""
An admission limiter: so many at a time, the others wait in the order in which they came.

A thousand that are served side by side are each so slow that they give up and come again, and
nobody else gets a turn of the event loop; one after the other, those who are through stay.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class AdmissionLimiter:
    """``hold_at_most``: for how many seconds one that is slow keeps the others waiting."""

    def __init__(self, at_once: int, *, hold_at_most: float) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._hold_at_most = hold_at_most
        self.waiting = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot; it is released by the call, at the end, or by taking too long."""
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        is_held = True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._slots.release()

        timer = asyncio.get_running_loop().call_later(self._hold_at_most, release)
        try:
            yield release
        finally:
            timer.cancel()
            release()
