"""
A line of an attempt's log, as it is kept and shipped: ``{"t": microseconds, "m": text, "o": who}``.

Every runtime writes this format, so that whoever reads a log need not know which one did.
"""

import json
from collections.abc import Iterator

from dataplane.agent.core.timestamps import from_us, to_us
from shared.model.logs import LogLine, Originator

_CHARACTER_BYTES = 4  # of the longest in UTF-8
_CONTINUES, _CONTINUES_NO_MORE = 0x80, 0xC0  # bytes that do not begin a character


def cut_text(raw: bytes, at_most: int) -> Iterator[bytes]:
    """Cut a long line into pieces of ``at_most`` bytes; no character of UTF-8 is cut."""
    start = 0
    while len(raw) - start > at_most:
        end = find_cut(raw, start + at_most)
        yield raw[start:end]
        start = end
    yield raw[start:]


def find_cut(raw: bytes, end: int) -> int:
    """Return where to cut at or before ``end``, so that no character of UTF-8 is cut."""
    for cut in range(end, max(end - _CHARACTER_BYTES, 0), -1):
        if not _CONTINUES <= raw[cut] < _CONTINUES_NO_MORE:
            return cut
    return end  # it is no text


def overwrite(raw: bytes) -> bytes:
    """
    Return what a terminal shows of a line in the end.

    A carriage return begins the line again, as progress bars do: what stood before is gone.
    """
    return raw.rstrip(b"\r").rpartition(b"\r")[2]


def encode_line(line: LogLine) -> bytes:
    """Return the line with its end; what is no text becomes question marks."""
    said = {"t": to_us(line.at), "m": line.text, "o": int(line.originator)}
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace") + b"\n"


def decode_line(raw: bytes) -> LogLine:
    said = json.loads(raw)
    return LogLine(from_us(said["t"]), said["m"], Originator(said["o"]))
