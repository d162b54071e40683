"""
Sets the clock of one program: Python loads this at its start where it is on the path.

The machine has one clock, and nobody may set it for a test. So what the program reads off it
is moved by as many seconds as the test has last written into a file of the program's own.
"""

import mmap
import os
import struct
from datetime import datetime, timedelta
from pathlib import Path

from shared.kit.clock import SystemClock

_FILE = os.environ.get("TESTS_CLOCK")


def _move(path: Path) -> None:
    with path.open("rb") as file:
        seconds = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    now = SystemClock.now

    def moved(self: SystemClock) -> datetime:
        return now(self) + timedelta(seconds=struct.unpack("d", seconds)[0])

    SystemClock.now = moved  # type: ignore[method-assign]


if _FILE:
    _move(Path(_FILE))
