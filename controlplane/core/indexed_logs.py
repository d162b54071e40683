"""
Splits a shipped log into numbered lines, from its beginning or from a checkpoint in it.

A shipped log is gzip'd, so that its lines have no places of their own. A checkpoint is the state of
the decompressor at some place; an index keeps one for each few megabytes, and reading line N begins at
the last one before it. Lines are numbered from 1, and each raw line has a number, damaged or not.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shared.formats.logs import MAX_LINE_BYTES, LogDecoder
from shared.formats.shipped_logs import MAX_UNPACKED_BYTES, DamagedLogError
from shared.kit.gzip import Decompressor, GzipError
from shared.model.logs import LogLine

CHECKPOINT_BYTES = 8 * 1024**2
"""Uncompressed bytes between two checkpoints; one takes about 50 KiB."""

MAX_KEPT_BYTES = 64 * 1024
"""Of an unfinished line in a checkpoint: longer ones, which a task may write, cost memory."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive raw lines, as ``shared.formats.logs`` has them, without their line ends."""

    first: int  # number of the first line
    lines: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of reading a log after ``packed`` of its bytes and ``line`` complete lines."""

    packed: int
    line: int
    unpacking: Decompressor
    unfinished: bytes
    is_overlong: bool


class NumberedLines:
    """Reads one log from a checkpoint, by default from the beginning."""

    def __init__(self, start: Checkpoint | None = None) -> None:
        start = start or Checkpoint(0, 0, Decompressor(at_most=MAX_UNPACKED_BYTES), b"", False)
        self.line = start.line  # complete lines so far
        self.unpacked = start.unpacking.size
        self._packed = start.packed
        self._unpacking = start.unpacking.copy()
        self._unfinished = start.unfinished
        self._is_overlong = start.is_overlong

    @property
    def unfinished_bytes(self) -> int:
        """The size of the line that is not complete, which a checkpoint keeps."""
        return len(self._unfinished)

    def feed(self, packed: bytes) -> Iterator[Block]:
        """Yield the lines that ``packed`` completes; DamagedLogError."""
        self._packed += len(packed)
        try:
            for data in self._unpacking.feed(packed):
                self.unpacked += len(data)
                if (block := self._split(data)) is not None:
                    yield block
        except GzipError as error:
            raise DamagedLogError(str(error)) from error

    def close(self) -> Block | None:
        """Return the last line if it has no line end; DamagedLogError if the log is truncated."""
        try:
            self._unpacking.close()
        except GzipError as error:
            raise DamagedLogError(str(error)) from error
        if not self._unfinished and not self._is_overlong:
            return None
        self.line += 1
        return Block(self.line, [self._take_first(b"")])

    def make_checkpoint(self) -> Checkpoint:
        """Return the present state; only between two calls of ``feed`` that were read to their end."""
        return Checkpoint(
            self._packed,
            self.line,
            self._unpacking.copy(),
            self._unfinished,
            self._is_overlong,
        )

    def _split(self, data: bytes) -> Block | None:
        first, end, rest = data.partition(b"\n")
        if not end:
            self._keep(data)
            return None
        lines = [self._take_first(first), *rest.split(b"\n")]
        self._keep(lines.pop())
        block = Block(self.line + 1, lines)
        self.line += len(lines)
        return block

    def _take_first(self, end: bytes) -> bytes:
        """Return the line that ``end`` completes; an overlong one is damaged, and so is b""."""
        line = b"" if self._is_overlong else self._unfinished + end
        self._unfinished, self._is_overlong = b"", False
        return line

    def _keep(self, data: bytes) -> None:
        self._unfinished += data
        if self._is_overlong or len(self._unfinished) > MAX_LINE_BYTES:
            self._unfinished, self._is_overlong = b"", True


@dataclass(slots=True)
class LogIndex:
    """Index of one version of a log: checkpoints, and the number of its lines in the end."""

    etag: str
    line_count: int | None = None  # None until it was read to its end
    _checkpoints: list[Checkpoint] = field(default_factory=list)

    def find(self, line: int) -> Checkpoint | None:
        """Return the last checkpoint before a line; None: the beginning."""
        place = bisect_right(self._checkpoints, line - 1, key=lambda each: each.line)
        return self._checkpoints[place - 1] if place else None

    def note(self, lines: NumberedLines) -> None:
        """Keep a checkpoint here, if the last one is far away."""
        last = self._checkpoints[-1].unpacking.size if self._checkpoints else 0
        if lines.unpacked - last >= CHECKPOINT_BYTES and lines.unfinished_bytes <= MAX_KEPT_BYTES:
            self._checkpoints.append(lines.make_checkpoint())


def decode_line(raw: bytes) -> LogLine:
    """Return a raw line; a damaged one as what can be read of it, or as a line that says so."""
    return LogDecoder().decode(raw)[-1]


def find_text(raw: bytes) -> bytes:
    """
    Return the text of a raw line as UTF-8, for searching; not quite exact for damaged lines.

    Many times faster than decoding, which a line with escapes needs.
    """
    begin = raw.find(b'"m":"')
    if b"\\" not in raw and begin > 0 and raw.endswith((b'","o":1}', b'","o":2}')):
        return raw[begin + 5 : -8]
    return decode_line(raw).text.encode()
