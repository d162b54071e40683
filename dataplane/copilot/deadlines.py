"""How much time is left; a signal may make it less."""

import time
from collections.abc import Callable

from dataplane.copilot.errors import LateError

_SLICE_SECONDS = 0.25


class Deadline:
    """An instant of a monotonic clock, shared by all threads."""

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
        """Allow ``seconds`` from now, if that is less than what is left."""
        self._at = min(self._at, self._now() + seconds)

    def extend(self, seconds: float) -> None:
        """Allow ``seconds`` from now at least, to say why the rest did not suffice."""
        self._at = max(self._at, self._now() + seconds)

    def left(self) -> float:
        """Return the seconds left; 0 when it is over."""
        return max(0.0, self._at - self._now())

    def require(self, doing: str) -> None:
        """Raise LateError when it is over."""
        if not self.left():
            raise LateError(
                f"the time allowed was over while {doing}; allow more, or give the task less to"
                " move"
            )

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end, wherever that is moved to in the meantime."""
        until = self._now() + seconds
        while (rest := min(until - self._now(), self.left())) > 0:
            self._nap(min(rest, _SLICE_SECONDS))
