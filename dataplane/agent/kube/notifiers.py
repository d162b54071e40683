"""Notifies waiters of changes to their attempt."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Wakers:
    """
    Waiters' asyncio events by attempt. A wakeup carries no data: the waiter reads the full state.

    ``on_unused`` is called with an attempt when its last waiter leaves.
    """

    def __init__(self, on_unused: Callable[[str], None] = lambda _: None) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._on_unused = on_unused

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._waiting

    @contextmanager
    def notified(self, attempt: str, event: asyncio.Event | None = None) -> Iterator[asyncio.Event]:
        """Set ``event`` at each change to the attempt within the block; the waiter clears it."""
        event = asyncio.Event() if event is None else event
        waiting = self._waiting.setdefault(attempt, set())
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting and self._waiting.get(attempt) is waiting:
                del self._waiting[attempt]
                self._on_unused(attempt)

    def wake(self, attempts: Iterable[str]) -> None:
        for attempt in attempts:
            for event in self._waiting.get(attempt, ()):
                event.set()

    def wake_all(self) -> None:
        self.wake(list(self._waiting))
