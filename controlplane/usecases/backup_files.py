"""
Reads and writes the files of backups: on this machine, or as a blob of an object store.

A location is a path, ``file:///directory/name`` or ``s3://bucket/prefix/name``. A file appears
whole or not at all. One in a bucket is written to this machine first, and read from it.
"""

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from controlplane.core.backups import (
    TRAILER_BYTES,
    BackupError,
    Manifest,
    parse_trailer,
    render_trailer,
)
from shared.blobs.errors import BlobStoreError
from shared.blobs.options import AnyOptions
from shared.blobs.store import CHUNK_BYTES, BlobStore, open_store


def hash_file(path: Path, *, size: int) -> str:
    """Return the SHA-256 of the first ``size`` bytes of a file, in hexadecimal."""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def append_manifest(path: Path, manifest: Manifest) -> None:
    """End the archive at ``path`` with its manifest, and wait until the disk has it."""
    text = manifest.to_json()
    with path.open("ab") as file:
        file.write(text)
        file.write(render_trailer(archive_bytes=manifest.archive_bytes, manifest_bytes=len(text)))
        file.flush()
        os.fsync(file.fileno())


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a file and compare the archive with it; BackupError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - TRAILER_BYTES, 0))
        archive_bytes, manifest_bytes = parse_trailer(file.read(TRAILER_BYTES), size=size)
        file.seek(archive_bytes)
        manifest = Manifest.from_json(file.read(manifest_bytes))
    if manifest.archive_bytes != archive_bytes or manifest.archive_sha256 != hash_file(
        path, size=archive_bytes
    ):
        raise BackupError(
            "the archive does not have the checksum that its manifest names; the file is damaged: "
            "copy it again, or use another backup"
        )
    return manifest


@asynccontextmanager
async def writing(location: str, options: AnyOptions) -> AsyncIterator[Path]:
    """Give a path to write to; what is there at the end of the block becomes the backup."""
    found = _parse(location, options)
    if isinstance(found, Path):
        with _draft_beside(found) as draft:
            yield draft
        return
    store, uri = found
    with tempfile.TemporaryDirectory(prefix="volary-backup-") as directory:
        draft = Path(directory) / "backup"
        draft.touch(mode=0o600)
        with _blob_errors("write", location):
            if await store.exists(uri):
                raise BackupError(
                    f"{location} exists; a backup replaces nothing: choose another name"
                )
        yield draft
        with _blob_errors("write", location):
            await store.write_stream(uri, _chunks_of(draft))


@asynccontextmanager
async def reading(location: str, options: AnyOptions) -> AsyncIterator[Path]:
    """Give the path of a backup for the length of a block; BackupError if it is missing."""
    found = _parse(location, options)
    if isinstance(found, Path):
        if not found.is_file():
            raise BackupError(f"there is no file {location}; check the name")
        yield found
        return
    store, uri = found
    with tempfile.TemporaryDirectory(prefix="volary-backup-") as directory:
        copy = Path(directory) / "backup"
        with _blob_errors("read", location), copy.open("wb") as file:
            async for chunk in await store.stream(uri):
                file.write(chunk)
        yield copy


@contextmanager
def _draft_beside(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` that takes its place at the end; BackupError if that exists."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists():
            raise BackupError(f"{path} exists; a backup replaces nothing: choose another name")
        draft.touch(mode=0o600, exist_ok=False)
        yield draft
        os.link(draft, path)  # fails if another process has made it meanwhile
    except OSError as error:
        raise BackupError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _parse(location: str, options: AnyOptions) -> Path | tuple[BlobStore, str]:
    if "://" not in location:
        return Path(location).expanduser().absolute()
    if location.startswith("file:///"):
        return Path(location.removeprefix("file://"))
    base, _, name = location.rpartition("/")
    try:
        store = open_store(base, options)
        return store, store.uri(name)
    except (ValueError, BlobStoreError) as error:
        raise BackupError(
            f"{location!r} is no place for a backup ({error}); give a path or s3://bucket/name"
        ) from error


@contextmanager
def _blob_errors(what: str, location: str) -> Iterator[None]:
    try:
        yield
    except BlobStoreError as error:
        raise BackupError(f"cannot {what} {location}: {error}") from error


async def _chunks_of(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
