"""Reads the machine's total and available memory from /proc/meminfo."""

import re
from datetime import datetime, timedelta
from pathlib import Path

from shared.kit.clock import Clock

_MEMINFO = Path("/proc/meminfo")
_FRESH_FOR = timedelta(milliseconds=500)


def read_total_memory() -> int:
    return _read("MemTotal")


class FreeMemory:
    """Returns the bytes available without swapping, read at most twice a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_at: datetime | None = None
        self._bytes = 0

    def __call__(self) -> int:
        now = self._clock.now()
        # A time of reading in the future means that the clock was set back since.
        if self._read_at is None or not timedelta(0) <= now - self._read_at < _FRESH_FOR:
            self._bytes = _read("MemAvailable")
            self._read_at = now
        return self._bytes


def _read(name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
    if match is None:
        raise OSError(f"{_MEMINFO} has no {name}; the process runtime needs Linux")
    return int(match[1]) * 1024
