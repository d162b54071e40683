"""
Where agents that come all at once are let in a few at a time.

A thousand greeted side by side are each so slow that they give up and come again; one after
the other, those who are through stay.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turnstile:
    """``dawdle`` is for how many seconds somebody on the way through holds up the others."""

    def __init__(self, at_once: int, *, dawdle: float) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._dawdle = dawdle

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place; it is given back by the call, or at the end, or by dawdling."""
        await self._places.acquire()
        is_held = True

        def leave() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._places.release()

        timer = asyncio.get_running_loop().call_later(self._dawdle, leave)
        try:
            yield leave
        finally:
            timer.cancel()
            leave()
