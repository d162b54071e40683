"""
Streaming decoder of shipped logs: gzip'd lines of JSON.

No more than a block is in memory at once, whatever the bucket contains. A line is
``{"t": microseconds since 1970, "m": text, "o": originator}``.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence

from shared.kit.timestamps import from_us
from shared.model.logs import LogLine, Originator

MAX_PACKED_BYTES = 64 * 1024**2
MAX_UNPACKED_BYTES = 512 * 1024**2
"""Limit against zip bombs; agents truncate a log at an eighth of that."""
MAX_LINE_BYTES = 1024**2
"""Agents cut lines at 16 KiB, which JSON escapes may lengthen sixfold."""
BLOCK_BYTES = 64 * 1024
_PIECE_BYTES = 16 * 1024

_MALFORMED_LINE_ERRORS = (
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)
_GZIP = 16 + zlib.MAX_WBITS


class DamagedLogError(Exception):
    """The log is not in the format that agents ship; the message says what is wrong."""


class Unpacking:
    """Decodes one log incrementally; skips its first ``after_line`` lines."""

    def __init__(self, after_line: int) -> None:
        self._skipped = 0
        self._after_line = after_line
        self._gzip = zlib.decompressobj(_GZIP)
        self._unpacked = 0
        self._unfinished = b""

    def feed(self, packed: bytes) -> Iterator[Sequence[LogLine]]:
        """Yield the lines that ``packed`` completes, block by block; DamagedLogError."""
        for start in range(0, len(packed), _PIECE_BYTES):  # zlib copies its unconsumed tail
            piece = packed[start : start + _PIECE_BYTES]
            while piece:
                if self._gzip.eof:  # one more member, as after "cat a.gz b.gz"
                    self._gzip = zlib.decompressobj(_GZIP)
                block = self._unpack(piece)
                yield self._take(block)
                while len(block) == BLOCK_BYTES:  # a full block: more output may be pending
                    block = self._unpack(self._gzip.unconsumed_tail)
                    yield self._take(block)
                piece = self._gzip.unused_data

    def close(self) -> Sequence[LogLine]:
        """Return the remaining lines after the last feed; DamagedLogError if it is truncated."""
        if not self._gzip.eof:
            raise DamagedLogError("it is truncated")
        return self._parse([self._unfinished] if self._unfinished else [])

    def _unpack(self, packed: bytes) -> bytes:
        try:
            block = self._gzip.decompress(packed, BLOCK_BYTES)
        except zlib.error as error:
            raise DamagedLogError("it is not gzip") from error
        self._unpacked += len(block)
        if self._unpacked > MAX_UNPACKED_BYTES:
            raise DamagedLogError(f"it decompresses to more than {MAX_UNPACKED_BYTES} bytes")
        return block

    def _take(self, block: bytes) -> Sequence[LogLine]:
        *lines, unfinished = block.split(b"\n")
        if lines:
            lines[0] = self._unfinished + lines[0]
            self._unfinished = unfinished
        else:
            self._unfinished += unfinished
        if len(self._unfinished) > MAX_LINE_BYTES:
            raise DamagedLogError(f"one of its lines is longer than {MAX_LINE_BYTES} bytes")
        return self._parse(lines)

    def _parse(self, lines: Sequence[bytes]) -> Sequence[LogLine]:
        skipped = min(len(lines), self._after_line - self._skipped)
        self._skipped += skipped
        try:
            return list(_decode(lines[skipped:]))
        except _MALFORMED_LINE_ERRORS as error:
            raise DamagedLogError("one of its lines is not in the format agents write") from error


def _decode(lines: Iterable[bytes]) -> Iterator[LogLine]:
    for line in lines:
        record = json.loads(line)
        at = from_us(record["t"])
        text = record["m"].encode(errors="replace").decode()  # JSON can hold lone surrogates
        yield LogLine(at, text, Originator(record["o"]))
