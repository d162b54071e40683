"""
Streaming decoder of shipped logs: gzip'd lines of ``shared.formats.logs``.

No more than a block is in memory at once, whatever the bucket contains.
"""

from collections.abc import Iterator, Sequence

from shared.formats.logs import MAX_LINE_BYTES, LogDecoder
from shared.kit.gzip import Decompressor, GzipError
from shared.model.logs import LogLine

MAX_PACKED_BYTES = 64 * 1024**2
MAX_UNPACKED_BYTES = 512 * 1024**2
"""Limit against zip bombs; agents truncate a log at an eighth of that."""


class DamagedLogError(Exception):
    """The log cannot be decompressed; the message says why."""


class Unpacking:
    """Decodes one log incrementally; skips its first ``after_line`` lines."""

    def __init__(self, after_line: int) -> None:
        self._skipped = 0
        self._after_line = after_line
        self._gzip = Decompressor(at_most=MAX_UNPACKED_BYTES)
        self._unfinished = b""
        self._is_overlong = False  # within a line that is skipped
        self._decoder = LogDecoder()

    def feed(self, packed: bytes) -> Iterator[Sequence[LogLine]]:
        """Yield the lines that ``packed`` completes, block by block; DamagedLogError."""
        try:
            for block in self._gzip.feed(packed):
                yield self._take(block)
        except GzipError as error:
            raise DamagedLogError(str(error)) from error

    def close(self) -> Sequence[LogLine]:
        """Return the remaining lines after the last feed; DamagedLogError if it is truncated."""
        try:
            self._gzip.close()
        except GzipError as error:
            raise DamagedLogError(str(error)) from error
        return self._decode(self._unfinished) if self._unfinished or self._is_overlong else []

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
