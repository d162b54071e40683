"""
Writes, follows and packs the log file of an attempt's process.

The format is that of :mod:`dataplane.agent.runtimes.log_lines`. The shim writes the file,
the agent follows and uploads it unchanged, so a line's number is its position in the file.
A long line is split; a log that reaches its size limit ends with a line that says so.
"""

import asyncio
import gzip
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from dataplane.agent.core import limits
from dataplane.agent.runtimes.log_lines import cut_text, decode_line, encode_line, overwrite
from shared.kit.clock import Clock
from shared.model.link_messages import LogChunk
from shared.model.logs import LogLine, Originator

_PACKING_LEVEL = 1  # the fastest
_PACKED_BYTES = 1024 * 1024  # per piece


class LogWriter:
    """Converts the task's output into lines of the log; used by the shim."""

    def __init__(self, path: Path, clock: Clock, *, line_bytes: int, log_bytes: int) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._clock = clock
        self._line_bytes = line_bytes
        self._left = log_bytes
        self._unfinished = b""

    def feed(self, data: bytes) -> None:
        """Append the task's output; its last line may be unfinished."""
        *lines, rest = (self._unfinished + data).split(b"\n")
        pieces = [piece for line in lines for piece in cut_text(overwrite(line), self._line_bytes)]
        if b"\r" in rest:  # a progress bar: keep only the latest text in memory
            ended = len(rest.rstrip(b"\r"))
            rest = overwrite(rest) + rest[ended:]
        *more, self._unfinished = cut_text(rest, self._line_bytes)
        texts = [piece.decode(errors="replace") for piece in (*pieces, *more)]
        self._write(texts, Originator.USER)

    def say(self, text: str) -> None:
        """Append a line of the shim's own."""
        self._write([text], Originator.SYSTEM)

    def close(self) -> None:
        if self._unfinished:
            self.feed(b"\n")
        self._file.close()

    def _write(self, texts: Sequence[str], originator: Originator) -> None:
        if self._left <= 0 or not texts:
            return
        at = self._clock.now()
        encoded = []
        for text in texts:
            line = encode_line(LogLine(at, text, originator))
            self._left -= len(line)
            if self._left <= 0:
                note = "the log ends here: it has reached its size limit; the task runs on"
                encoded.append(encode_line(LogLine(at, note, Originator.SYSTEM)))
                break
            encoded.append(line)
        try:
            self._file.write(b"".join(encoded))
        except OSError:
            self._left = 0  # a full disk must not stop the task; its log ends here


class LogReader:
    """Reads a log that may still grow; used by the agent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._line = 0  # the number of the last line read

    def read(self, after_line: int) -> LogChunk | None:
        """Return the next lines past ``after_line``, at most one chunk; None at the end."""
        lines: list[LogLine] = []
        size = 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while len(lines) < limits.CHUNK_LINES and size < limits.CHUNK_BYTES:
                raw = file.readline()
                if not raw.endswith(b"\n"):
                    break  # the end, or a line that is being written
                self._offset += len(raw)
                self._line += 1
                if self._line > after_line:
                    lines.append(decode_line(raw))
                    size += len(raw)
        return LogChunk(lines, self._line) if lines else None


def read_last_lines(path: Path, count: int) -> Sequence[str]:
    """Return the last ``count`` lines of the task's output, within the log's last chunk."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limits.CHUNK_BYTES))
            raws = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    if size > limits.CHUNK_BYTES:
        raws = raws[1:]  # an incomplete line
    lines = [decode_line(raw) for raw in raws if raw]
    return [line.text for line in lines if line.originator is Originator.USER][-count:]


async def pack_log(path: Path) -> bytes:
    """
    Return the log gzip'd, for upload; FileNotFoundError if there is none.

    Compressed piece by piece, so that a cancellation takes effect after the current piece.
    """
    packed = BytesIO()
    with (
        path.open("rb") as file,
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_PACKING_LEVEL, mtime=0) as gz,
    ):
        while await asyncio.to_thread(_pack_piece, file, gz):
            pass
    return packed.getvalue()


def _pack_piece(file: BinaryIO, gz: gzip.GzipFile) -> bool:
    """Compress the next piece; False at the end."""
    piece = file.read(_PACKED_BYTES)
    gz.write(piece)
    return bool(piece)
