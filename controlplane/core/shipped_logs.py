"""
Streaming decoder of shipped logs: gzip'd lines of ``shared.formats.logs``.

No more than a block is in memory at once, whatever the bucket contains.
"""

import zlib
from collections.abc import Iterator, Sequence

from shared.formats.logs import MAX_LINE_BYTES, LogDecoder
from shared.model.logs import LogLine

MAX_PACKED_BYTES = 64 * 1024**2
MAX_UNPACKED_BYTES = 512 * 1024**2
"""Limit against zip bombs; agents truncate a log at an eighth of that."""
BLOCK_BYTES = 64 * 1024
_PIECE_BYTES = 16 * 1024

_GZIP = 16 + zlib.MAX_WBITS


class DamagedLogError(Exception):
    """The log cannot be decompressed; the message says why."""


class Unpacking:
    """Decodes one log incrementally; skips its first ``after_line`` lines."""

    def __init__(self, after_line: int) -> None:
        self._skipped = 0
        self._after_line = after_line
        self._gzip = zlib.decompressobj(_GZIP)
        self._unpacked = 0
        self._unfinished = b""
        self._is_overlong = False  # within a line that is skipped
        self._decoder = LogDecoder()

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
        return self._decode(self._unfinished) if self._unfinished or self._is_overlong else []

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
        *lines, rest = block.split(b"\n")
        decoded: list[LogLine] = []
        for line in lines:
            decoded += self._decode(self._unfinished + line)
            self._unfinished = b""
        self._unfinished += rest
        if len(self._unfinished) > MAX_LINE_BYTES:
            self._is_overlong = True
            self._unfinished = b""
        return decoded

    def _decode(self, raw: bytes) -> Sequence[LogLine]:
        is_overlong, self._is_overlong = self._is_overlong, False
        if self._skipped < self._after_line:
            self._skipped += 1
            return []
        return self._decoder.skip() if is_overlong else self._decoder.decode(raw)
