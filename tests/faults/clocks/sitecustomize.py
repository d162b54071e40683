"""
Sets the clock of one program: Python loads this at its start where it is on the path.

The machine's clock is shared and must not be set for a test. So the time that the program
reads is shifted by the seconds that the test wrote last into a file of this program.
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
