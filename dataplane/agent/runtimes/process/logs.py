"""
An attempt's log: a file of lines as :mod:`dataplane.agent.runtimes.log_lines` has them.

The shim writes it, the agent follows and ships it as it is, so a line's number is its
place in the file. A long line is cut into pieces, a long log ends early and says so.
"""

import asyncio
import gzip
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from dataplane.agent.core import limits
from dataplane.agent.core.messages import LogChunk
from dataplane.agent.runtimes.log_lines import cut_text, decode_line, encode_line, overwrite
from shared.kit.clock import Clock
from shared.model.logs import LogLine, Originator

_PACKING_LEVEL = 1  # the fastest
_PACKED_BYTES = 1024 * 1024  # in one go


class LogWriter:
    """Turns what the task writes into lines of the log; used by the shim."""

    def __init__(self, path: Path, clock: Clock, *, line_bytes: int, log_bytes: int) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._clock = clock
        self._line_bytes = line_bytes
        self._left = log_bytes
        self._unfinished = b""

    def feed(self, data: bytes) -> None:
        """Take what the task wrote; its last line may be unfinished."""
        *lines, rest = (self._unfinished + data).split(b"\n")
        pieces = [piece for line in lines for piece in cut_text(overwrite(line), self._line_bytes)]
        if b"\r" in rest:  # begun again, perhaps for the thousandth time
            ended = len(rest.rstrip(b"\r"))
            rest = overwrite(rest) + rest[ended:]
        *more, self._unfinished = cut_text(rest, self._line_bytes)
        texts = [piece.decode(errors="replace") for piece in (*pieces, *more)]
        self._write(texts, Originator.USER)

    def say(self, text: str) -> None:
        """Add a line of our own."""
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
            self._left = 0  # a full disk must not stop the task; the log just ends


class LogReader:
    """Reads a log from the start while it may still grow; used by the agent."""

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
    """Return the texts of the last lines the task wrote."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limits.CHUNK_BYTES))
            raws = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    if size > limits.CHUNK_BYTES:
        raws = raws[1:]  # cut in the middle
    lines = [decode_line(raw) for raw in raws if raw]
    return [line.text for line in lines if line.originator is Originator.USER][-count:]


async def pack_log(path: Path) -> bytes:
    """
    Return the log gzip'd, as it is shipped; FileNotFoundError if there is none.

    Packed fast, piece by piece: whoever is cancelled stops after the piece under way.
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
    """Pack the next piece; False at the end."""
    piece = file.read(_PACKED_BYTES)
    gz.write(piece)
    return bool(piece)
