"""
Encodes and decodes attempts' logs: ``{"t": microseconds, "m": text, "o": originator}`` per line.

Every runtime stores and ships this format, so that readers do not depend on the runtime. A task
or a power cut can damage the file: a decoder replaces what it cannot read by one line that says
so, and returns everything else.
"""

import json
from collections.abc import Sequence

from shared.kit.timestamps import from_us, to_us
from shared.model.logs import LogLine, Originator

MAX_LINE_BYTES = 1024**2
"""Longer lines are damaged: agents cut lines at 16 KiB, which JSON escapes lengthen sixfold."""
DAMAGED = "a damaged part of the log was left out"

_BEGINNING = b'{"t":'


def encode_line(line: LogLine) -> bytes:
    """Return the line as JSON with a newline; unencodable characters become question marks."""
    fields = {
        "t": to_us(line.at),
        "m": line.text,
        "o": int(line.originator),
    }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace") + b"\n"


class LogDecoder:
    """Decodes consecutive lines of one log."""

    def __init__(self) -> None:
        self._at = from_us(0)  # time of the last line that could be read
        self._is_damaged = False  # the last line was

    def decode(self, raw: bytes) -> Sequence[LogLine]:
        """
        Return the line, without its marker if the line before was damaged too.

        Where a line was cut by a power cut, the next was appended to the rest of it.
        """
        line = _parse(raw)
        if line is not None:
            return [self._accept(line)]
        marker = self.skip()
        beginning = raw.rfind(_BEGINNING)
        line = _parse(raw[beginning:]) if beginning > 0 else None
        return marker if line is None else [*marker, self._accept(line)]

    def skip(self) -> Sequence[LogLine]:
        """Return the marker of a damaged line; none if the line before was damaged too."""
        if self._is_damaged:
            return []
        self._is_damaged = True
        return [LogLine(self._at, DAMAGED, Originator.SYSTEM)]

    def _accept(self, line: LogLine) -> LogLine:
        self._at = line.at
        self._is_damaged = False
        return line


def _parse(raw: bytes) -> LogLine | None:
    """Return the line; None if it is damaged."""
    try:
        fields = json.loads(raw)
        at, text, originator = fields["t"], fields["m"], fields["o"]
        if type(at) is not int or type(text) is not str or type(originator) is not int:
            return None
        # JSON may contain lone surrogates, which protobuf refuses.
        text = text.encode(errors="replace").decode()
        return LogLine(from_us(at), text, _parse_originator(originator))
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


def _parse_originator(number: int) -> Originator:
    """Treat an originator added by a later release as SYSTEM: it is not the user's code."""
    return Originator.USER if number == Originator.USER else Originator.SYSTEM
