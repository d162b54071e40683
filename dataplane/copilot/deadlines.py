"""Deadline of a program, which a signal may shorten."""

import time
from collections.abc import Callable

from dataplane.copilot.errors import DeadlineError

_SLICE_SECONDS = 0.25


class Deadline:
    """A point in time of a monotonic clock, shared by all threads."""

    def __init__(
        self,
        seconds: float,
        *,
        now: Callable[[], float] = time.monotonic,
        nap: Callable[[float], None] = time.sleep,
    ) -> None:
        self._now = now
        self._nap = nap
        self._at = now() + seconds

    def shorten(self, seconds: float) -> None:
        """Move the deadline to ``seconds`` from now, if that is earlier."""
        self._at = min(self._at, self._now() + seconds)

    def extend(self, seconds: float) -> None:
        """Move the deadline to ``seconds`` from now, if that is later, to report an error."""
        self._at = max(self._at, self._now() + seconds)

    def left(self) -> float:
        """Return the remaining seconds; 0 once the deadline has passed."""
        return max(0.0, self._at - self._now())

    def require(self, doing: str) -> None:
        """Raise DeadlineError once the deadline has passed; ``doing`` names the interrupted work."""
        if not self.left():
            raise DeadlineError(
                f"the deadline passed while {doing}; raise the time limit, or have the task"
                " transfer less data"
            )

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the deadline, even if it is moved meanwhile."""
        until = self._now() + seconds
        while (remaining := min(until - self._now(), self.left())) > 0:
            self._nap(min(remaining, _SLICE_SECONDS))
