"""Lines a task wrote."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Originator(IntEnum):
    """Who wrote the line; flyteidl2's LogLineOriginator numbers."""

    USER = 1
    SYSTEM = 2


@dataclass(frozen=True, slots=True)
class LogLine:
    at: datetime
    text: str  # without its line end
    originator: Originator = Originator.USER
