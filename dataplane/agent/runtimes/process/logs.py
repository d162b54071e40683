"""
Writes, follows and packs the log file of an attempt's process.

The format is that of :mod:`shared.formats.logs`. The shim writes the file,
the agent follows and uploads it unchanged, so a line's number is its position in the file.
A long line is split; a log that reaches its size limit ends with a line that says so.

A line that stays unfinished (a progress bar, a prompt) is published in a file of its own, so that
followers see its current text. The task can damage both files, which costs it those lines only.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from dataplane.agent.core import link_limits
from dataplane.agent.runtimes.log_lines import cut_text, decode_start, overwrite
from dataplane.agent.runtimes.process.state_files import (
    StateUnreadableError,
    open_file,
    read_file,
    replace_file,
)
from shared.formats.logs import MAX_LINE_BYTES, LogDecoder, encode_line
from shared.kit.clock import Clock
from shared.kit.gzip import Compressor
from shared.model.logs import LogChunk, LogLine, Originator

_PACKED_BYTES = 1024 * 1024  # per piece


class LogWriter:
    """Converts the task's output into lines of the log; used by the shim."""

    def __init__(self, path: Path, clock: Clock, *, line_bytes: int, log_bytes: int) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._clock = clock
        self._line_bytes = line_bytes
        self._left = log_bytes
        self._line = 0  # the number of the last complete line
        self._unfinished = b""
        self._partial = _PartialFile(path)
        self._published = b""  # the part of the current line in that file
        self._line_seen_unfinished: int | None = None

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

    @property
    def has_unpublished(self) -> bool:
        """Whether the current line has text that followers do not see yet."""
        return bool(self._unfinished) and self._unfinished != self._published and self._left > 0

    def publish_unfinished(self) -> None:
        """Let followers see the current line, if it was unfinished at the last call too."""
        seen_before = self._line_seen_unfinished == self._line
        self._line_seen_unfinished = self._line if self._unfinished else None
        if seen_before and self.has_unpublished:
            self._published = self._unfinished
            text = decode_start(overwrite(self._unfinished))
            if text:  # a bar that is being erased has none
                self._partial.write(LogLine(self._clock.now(), text), after_line=self._line)

    def close(self) -> None:
        if self._unfinished:
            self.feed(b"\n")
        self._partial.remove()
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
        self._line += len(encoded)
        self._published = b""
        try:
            self._file.write(b"".join(encoded))
        except OSError:
            self._left = 0  # a full disk must not stop the task; its log ends here


class _PartialFile:
    """File with the text of a line that is being written; only the latest text is kept."""

    def __init__(self, log: Path) -> None:
        self._path = log.with_suffix(".partial")

    def write(self, line: LogLine, *, after_line: int) -> None:
        """Replace the text; ``after_line`` is the number of the last complete line."""
        content = {"after_line": after_line, "line": encode_line(line).decode()}
        with suppress(OSError):  # a full disk must not stop the task
            replace_file(self._path, content, durable=False)

    def read(self, after_line: int) -> LogLine | None:
        """Return the text, if it is still that of the line after ``after_line``."""
        try:
            found = read_file(self._path) or {}
        except StateUnreadableError:
            return None
        line = found.get("line")
        if found.get("after_line") != after_line or not isinstance(line, str):
            return None
        decoded = LogDecoder().decode(line.encode(errors="replace"))
        return decoded[0] if decoded[0].originator is Originator.USER else None

    def remove(self) -> None:
        with suppress(OSError):  # it is deleted with its directory
            self._path.unlink()


class LogReader:
    """Reads a log that may still grow; used by the agent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = _PartialFile(path)
        self._last_partial: LogChunk | None = None
        self._decoder = LogDecoder()
        self._offset = 0
        self._line = 0  # the number of the last line read
        self._is_overlong = False  # within a line that is skipped

    def read(self, after_line: int) -> LogChunk | None:
        """
        Return the next lines past ``after_line``, at most one chunk; None at the end.

        The chunk has no lines if it is a part of the log that is skipped.
        """
        try:
            with open_file(self._path) as file:
                file.seek(self._offset)
                return self._read_chunk(file, after_line)
        except (FileNotFoundError, StateUnreadableError):
            return None

    def read_partial(self) -> LogChunk | None:
        """Return the unfinished line at the end of what was read, if its text is new."""
        line = self._partial.read(self._line)
        chunk = None if line is None else LogChunk([], self._line, line)
        if chunk == self._last_partial:
            return None
        self._last_partial = chunk
        return chunk

    def _read_chunk(self, file: BinaryIO, after_line: int) -> LogChunk | None:
        lines: list[LogLine] = []
        size = 0
        while len(lines) < link_limits.CHUNK_LINES and size < link_limits.CHUNK_BYTES:
            raw = file.readline(MAX_LINE_BYTES)
            is_complete = raw.endswith(b"\n")
            if not (is_complete or len(raw) == MAX_LINE_BYTES or (raw and self._is_overlong)):
                break  # the end, or a line that is being written
            size += len(raw)
            found = self._take(raw, is_complete=is_complete)
            if self._line > after_line:
                lines += found
        self._offset += size
        return LogChunk(lines, self._line) if size else None

    def _take(self, raw: bytes, *, is_complete: bool) -> Sequence[LogLine]:
        was_overlong, self._is_overlong = self._is_overlong, not is_complete
        if not is_complete:
            return []
        self._line += 1
        return self._decoder.skip() if was_overlong else self._decoder.decode(raw)


def read_last_lines(path: Path, count: int) -> Sequence[str]:
    """Return the last ``count`` lines of the task's output, within the log's last chunk."""
    try:
        with open_file(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - link_limits.CHUNK_BYTES))
            raws = file.read().split(b"\n")
    except (FileNotFoundError, StateUnreadableError):
        return []
    if size > link_limits.CHUNK_BYTES:
        raws = raws[1:]  # an incomplete line
    decoder = LogDecoder()
    lines = [line for raw in raws if raw for line in decoder.decode(raw)]
    return [line.text for line in lines if line.originator is Originator.USER][-count:]


async def pack_log(path: Path) -> bytes:
    """
    Return the log gzip'd, for upload; FileNotFoundError if there is none, or no regular file.

    Compressed piece by piece, so that a cancellation takes effect after the current piece.
    """
    packer = Compressor()
    packed: list[bytes] = []
    with _open_log(path) as file:
        while (piece := await asyncio.to_thread(_pack_piece, file, packer)) is not None:
            packed.append(piece)
    packed.append(packer.finish())
    return b"".join(packed)


def _open_log(path: Path) -> BinaryIO:
    try:
        return open_file(path)
    except StateUnreadableError as error:
        raise FileNotFoundError(str(error)) from error


def _pack_piece(file: BinaryIO, packer: Compressor) -> bytes | None:
    """Compress the next piece; None at the end."""
    piece = file.read(_PACKED_BYTES)
    return packer.feed(piece) if piece else None
