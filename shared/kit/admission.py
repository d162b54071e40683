"""
Admission limiter: runs a limited number of callers at once, the others wait in FIFO order.

A thousand callers served concurrently are each so slow that they time out and retry, and they
starve the event loop; served a few at a time, those that are done stay done.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class AdmissionLimiter:
    """
    Semaphore of ``at_once`` slots, each released after ``hold_at_most`` seconds at the latest.

    A slow caller goes on without its slot, so that it does not block the others.
    """

    def __init__(self, at_once: int, *, hold_at_most: float) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._hold_at_most = hold_at_most
        self.waiting = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot; it is released by the yielded call, at the end, or by timeout."""
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
