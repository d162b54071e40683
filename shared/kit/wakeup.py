"""A bell that can be rung from anywhere and is answered once."""

import asyncio
from datetime import timedelta


class Wakeup:
    """
    Rung many times, heard once.

    A ring carries no data on purpose: whoever hears it looks at the whole
    state again, so a lost, doubled or late ring can do no harm.
    """

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, at_most: timedelta) -> bool:
        """Return when it rings, or in time; whether it rang."""
        try:
            async with asyncio.timeout(at_most.total_seconds()):
                await self._woken.wait()
        except TimeoutError:
            pass  # the regular pass is due; that is the other reason to wake
        woken = self._woken.is_set()
        self._woken.clear()
        return woken
