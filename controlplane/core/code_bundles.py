"""
Reads code bundles, the gzip'd tar archives that the SDK uploads, without unpacking them to disk.

Tenants made them, so everything is bounded: bytes unpacked, entries, bytes of a file. Names are text
to show, never paths of ours.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import RawIOBase
from typing import IO, cast

from controlplane.core.errors import InvalidError
from shared.kit.gzip import Decompressor, GzipError

MAX_PACKED_BYTES = 32 * 1024**2
MAX_UNPACKED_BYTES = 128 * 1024**2
MAX_FILES = 5_000
MAX_TEXT_BYTES = 256 * 1024
"""Of a file that is shown."""


@dataclass(frozen=True, slots=True)
class BundledFile:
    path: str
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class BundledText:
    """The beginning of a file; ``text`` is None if it is not UTF-8 text."""

    file: BundledFile
    text: str | None
    is_truncated: bool


def list_files(packed: bytes) -> tuple[Sequence[BundledFile], bool]:
    """Return the files by path, and whether there are more; InvalidError if it is no bundle."""
    found: dict[str, BundledFile] = {}
    for file, _ in _files_of(packed):
        found[file.path] = file  # unpacking would leave the last of the same path
        if len(found) >= MAX_FILES:
            return sorted(found.values(), key=lambda each: each.path), True
    return sorted(found.values(), key=lambda each: each.path), False


def read_text(packed: bytes, path: str) -> BundledText | None:
    """Return the beginning of a file; None if there is no such file."""
    found: BundledText | None = None
    for file, content in _files_of(packed):
        if file.path != path:
            continue
        data = content.read(MAX_TEXT_BYTES + 1)
        is_truncated = len(data) > MAX_TEXT_BYTES
        found = BundledText(
            file, _decode(data[:MAX_TEXT_BYTES], is_truncated=is_truncated), is_truncated
        )
    return found


def _decode(data: bytes, *, is_truncated: bool) -> str | None:
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if is_truncated and error.start >= len(data) - 3:  # a character was cut in two
            return data[: error.start].decode()
        return None


def _files_of(packed: bytes) -> Iterator[tuple[BundledFile, IO[bytes]]]:
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Unpacked(packed)), mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None:
                    path = member.name.encode(errors="replace").decode().removeprefix("./")
                    yield BundledFile(path, member.size), content
    except (GzipError, tarfile.TarError, ValueError, OverflowError) as error:
        raise InvalidError(
            f"the code bundle cannot be shown: {error}; download it instead"
        ) from error


class _Unpacked(RawIOBase):
    """The decompressed bundle as a stream; GzipError beyond MAX_UNPACKED_BYTES."""

    def __init__(self, packed: bytes) -> None:
        self._blocks = Decompressor(at_most=MAX_UNPACKED_BYTES).feed(packed)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._rest += block
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
