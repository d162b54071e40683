"""How much time is left; it can only become less."""

import threading
import time
from collections.abc import Callable

from dataplane.copilot.errors import LateError


class Deadline:
    """
    An instant of a monotonic clock, and a bell that ends every wait for it.

    Shared by all threads. ``stop`` is for a program that is told to leave at once.
    """

    def __init__(self, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at = now() + seconds
        self._stopped = threading.Event()

    def shorten(self, seconds: float) -> None:
        """Allow ``seconds`` from now, if that is less than what is left."""
        self._at = min(self._at, self._now() + seconds)

    def extend_to(self, seconds: float) -> None:
        """Allow ``seconds`` from now, to say why nothing else could be done in time."""
        self._at = max(self._at, self._now() + seconds)

    def left(self) -> float:
        """Return the seconds left; 0 when it is over."""
        return 0.0 if self._stopped.is_set() else max(0.0, self._at - self._now())

    def stop(self) -> None:
        self._stopped.set()

    def require(self, doing: str) -> None:
        """Raise LateError when it is over."""
        if not self.left():
            raise LateError(
                f"the time allowed was over while {doing}; allow more, or give the task less to move"
            )

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end, and not when told to stop."""
        self._stopped.wait(min(seconds, self.left()))
