"""Wakes a waiting loop: a notification without data that coalesces."""

import asyncio
from datetime import timedelta


class Wakeup:
    """
    Event that resets itself: several calls of ``wake`` end one ``wait``.

    It carries no data on purpose: the waiter reads the whole state again, so a lost,
    repeated or late notification is harmless.
    """

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, at_most: timedelta) -> bool:
        """Return True when woken, False after ``at_most``."""
        try:
            async with asyncio.timeout(at_most.total_seconds()):
                await self._woken.wait()
        except TimeoutError:
            pass  # the caller's periodic pass is due
        woken = self._woken.is_set()
        self._woken.clear()
        return woken
