"""Log lines of an attempt."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Originator(IntEnum):
    """Source of a log line; the numbers are flyteidl2's ``LogLineOriginator``."""

    USER = 1
    SYSTEM = 2


@dataclass(frozen=True, slots=True)
class LogLine:
    at: datetime
    text: str  # without its line end
    originator: Originator = Originator.USER
