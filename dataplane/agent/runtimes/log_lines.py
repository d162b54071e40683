"""Cuts the output of a task into the lines of its log (``shared.formats.logs``)."""

import codecs
from collections.abc import Iterator

_CHARACTER_BYTES = 4  # of the longest in UTF-8
_CONTINUES, _CONTINUES_NO_MORE = 0x80, 0xC0  # bytes that do not begin a character


def cut_text(raw: bytes, at_most: int) -> Iterator[bytes]:
    """Split a long line into pieces of at most ``at_most`` bytes, between UTF-8 characters."""
    start = 0
    while len(raw) - start > at_most:
        end = find_cut(raw, start + at_most)
        yield raw[start:end]
        start = end
    yield raw[start:]


def find_cut(raw: bytes, end: int) -> int:
    """Return the last position at or before ``end`` that is between UTF-8 characters."""
    for cut in range(end, max(end - _CHARACTER_BYTES, 0), -1):
        if not _CONTINUES <= raw[cut] < _CONTINUES_NO_MORE:
            return cut
    return end  # not UTF-8


def overwrite(raw: bytes) -> bytes:
    """
    Return the text after the last carriage return: the final state of a line on a terminal.

    Progress bars rewrite their line after each carriage return.
    """
    return raw.rstrip(b"\r").rpartition(b"\r")[2]


def decode_start(raw: bytes) -> str:
    """Decode the start of a text, without a last character that is incomplete."""
    return codecs.getincrementaldecoder("utf-8")(errors="replace").decode(raw)
