"""Log lines that strangers cause: a few a minute of each message, then the number left out."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

LINES_A_MINUTE = 30
_WINDOW_SECONDS = 60.0


class OutsideLog:
    """
    Logger of refusals and of other events that anybody who reaches a port can cause.

    Of each message the first lines of a minute are written. The others are counted, and the next
    line that is written has their number as its field ``left_out``. Messages are constant texts,
    as everywhere; what differs is in ``extra``, so an attack cannot make the table grow.
    """

    def __init__(
        self,
        log: logging.Logger,
        *,
        lines_a_minute: int = LINES_A_MINUTE,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._most = lines_a_minute
        self._seconds = seconds
        self._windows: dict[str, _Window] = {}

    def info(self, message: str, *, extra: Mapping[str, Any]) -> None:
        self._write(logging.INFO, message, extra)

    def warning(self, message: str, *, extra: Mapping[str, Any]) -> None:
        self._write(logging.WARNING, message, extra)

    def _write(self, level: int, message: str, extra: Mapping[str, Any]) -> None:
        now = self._seconds()
        window = self._windows.setdefault(message, _Window(now))
        if now - window.began >= _WINDOW_SECONDS:
            window.began, window.lines = now, 0
        if window.lines >= self._most:
            window.left_out += 1
            return
        window.lines += 1
        left_out = {"left_out": window.left_out} if window.left_out else {}
        window.left_out = 0
        self._log.log(level, message, extra={**extra, **left_out})


class _Window:
    """A minute of one message."""

    __slots__ = ("began", "left_out", "lines")

    def __init__(self, began: float) -> None:
        self.began = began
        self.lines = 0
        self.left_out = 0
