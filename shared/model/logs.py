"""Log lines of an attempt."""

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class LogChunk:
    """
    Part of a live log: complete lines, or the current text of the line being written.

    ``partial`` has no number: the line is sent again, with the others, once it is complete.
    """

    lines: Sequence[LogLine]
    last_line: int  # number of the last complete line, counted from 1
    partial: LogLine | None = None
