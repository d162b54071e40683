"""
A shipped log, unpacked as it comes: gzip'd lines of JSON, of which no more is in memory
than a block, whatever somebody has put in the bucket.

A line is ``{"t": microseconds since 1970, "m": text, "o": originator}``.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from shared.model.logs import LogLine, Originator

MAX_PACKED_BYTES = 64 * 1024**2
MAX_UNPACKED_BYTES = 512 * 1024**2
"""Agents end a log at an eighth of that."""
MAX_LINE_BYTES = 1024**2
"""Agents cut lines at 16 KiB, which JSON may make six times as long."""
BLOCK_BYTES = 64 * 1024
_PIECE_BYTES = 16 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AN_AGENTS = (
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
_GZIP = 16 + zlib.MAX_WBITS


class DamagedLogError(Exception):
    """It is not what agents ship; the message says what is wrong."""


class Unpacking:
    """One log on its way; lines up to ``after_line`` are counted and passed over."""

    def __init__(self, after_line: int) -> None:
        self._passed_over = 0
        self._after_line = after_line
        self._gzip = zlib.decompressobj(_GZIP)
        self._unpacked = 0
        self._unfinished = b""

    def feed(self, packed: bytes) -> Iterator[Sequence[LogLine]]:
        """Yield the lines that ``packed`` completes, block by block; DamagedLogError."""
        for start in range(0, len(packed), _PIECE_BYTES):  # zlib copies what it leaves for later
            piece = packed[start : start + _PIECE_BYTES]
            while piece:
                if self._gzip.eof:  # one more member, as after "cat a.gz b.gz"
                    self._gzip = zlib.decompressobj(_GZIP)
                block = self._unpack(piece)
                yield self._take(block)
                while len(block) == BLOCK_BYTES:  # there may be more of what has gone in already
                    block = self._unpack(self._gzip.unconsumed_tail)
                    yield self._take(block)
                piece = self._gzip.unused_data

    def close(self) -> Sequence[LogLine]:
        """Return what is left once everything was fed; DamagedLogError if that was not all."""
        if not self._gzip.eof:
            raise DamagedLogError("its end is missing")
        return self._parse([self._unfinished] if self._unfinished else [])

    def _unpack(self, packed: bytes) -> bytes:
        try:
            block = self._gzip.decompress(packed, BLOCK_BYTES)
        except zlib.error as error:
            raise DamagedLogError("it is not gzip") from error
        self._unpacked += len(block)
        if self._unpacked > MAX_UNPACKED_BYTES:
            raise DamagedLogError(f"unpacked it is larger than {MAX_UNPACKED_BYTES} bytes")
        return block

    def _take(self, block: bytes) -> Sequence[LogLine]:
        *lines, unfinished = block.split(b"\n")
        if lines:
            lines[0] = self._unfinished + lines[0]
            self._unfinished = unfinished
        else:
            self._unfinished += unfinished
        if len(self._unfinished) > MAX_LINE_BYTES:
            raise DamagedLogError(f"a line of it is longer than {MAX_LINE_BYTES} bytes")
        return self._parse(lines)

    def _parse(self, lines: Sequence[bytes]) -> Sequence[LogLine]:
        skipped = min(len(lines), self._after_line - self._passed_over)
        self._passed_over += skipped
        try:
            return list(_decode(lines[skipped:]))
        except _NOT_AN_AGENTS as error:
            raise DamagedLogError("a line of it is not an agent's") from error


def _decode(lines: Iterable[bytes]) -> Iterator[LogLine]:
    for line in lines:
        said = json.loads(line)
        at = _EPOCH + timedelta(microseconds=said["t"])
        text = said["m"].encode(errors="replace").decode()  # JSON can spell what is no text
        yield LogLine(at, text, Originator(said["o"]))
