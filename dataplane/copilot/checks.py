"""What is checked of bytes on their way, and what a failing file means."""

import errno
import os
import re
import stat
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dataplane.copilot.errors import PassingError, RefusedError, UnfitError

CRC32 = "x-amz-checksum-crc32"

_CORRUPT_TRIES = 4
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Headers(Protocol):
    """What is asked of an answer here."""

    @property
    def status(self) -> int: ...
    def header(self, name: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Version:
    """Which blob it is that is being fetched in parts."""

    size: int
    etag: str


def read_version(answer: Headers, start: int, uri: str) -> Version:
    """Return what an answer to a request for bytes from ``start`` on says of the whole."""
    etag = answer.header("ETag")
    if answer.status == 206:
        fields = answer.header("Content-Range")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", fields)
        if found is None or int(found[1]) != start:
            raise RefusedError(f"{uri}: asked for bytes from {start} on, and got {fields!r}")
        return Version(int(found[2]), etag)
    if start:
        raise RefusedError(f"{uri}: the store gives the whole where a part was asked for")
    length = answer.header("Content-Length")
    return Version(int(length) if length.isdigit() else -1, etag)


def known_md5(answer: Headers) -> bytes | None:
    """
    Return the MD5 of the whole blob, if the store tells it.

    An ETag is one for what was put to S3 in one piece, but not where a key of KMS or of the
    customer's encrypts it.
    """
    fields = answer.header("Content-MD5") or answer.header("x-ms-blob-content-md5")
    try:
        if fields:
            return b64decode(fields, validate=True)
    except ValueError:
        return None
    kms = answer.header("x-amz-server-side-encryption").startswith("aws:kms")
    if kms or answer.header("x-amz-server-side-encryption-customer-algorithm"):
        return None
    etag = answer.header("ETag").strip('"')
    return bytes.fromhex(etag) if re.fullmatch(r"[0-9a-f]{32}", etag) else None


def require_md5(desired: bytes | None, found: bytes, uri: str) -> None:
    if desired is not None and desired != found:
        raise PassingError(
            f"{uri} did not arrive as it is kept: its MD5 is {found.hex()}, not {desired.hex()}",
            tries=_CORRUPT_TRIES,
        )


def require_crc32(fields: Headers, desired: str, md5: Callable[[], bytes], uri: str) -> None:
    """
    Hold an answer to a PUT to the CRC-32 that was sent.

    A store that has checked one repeats it. Of one that does not, its ETag is taken, if that
    is an MD5; ``md5`` computes what it should be.
    """
    kept = fields.header(CRC32)
    if kept == desired or (not kept and known_md5(fields) == md5()):
        return
    raise PassingError(
        f"{uri} did not arrive as it was sent: the store tells the CRC-32 {kept or 'not at all'}"
        f" and the ETag {fields.header('ETag')}, where {desired} was sent",
        tries=_CORRUPT_TRIES,
    )


@contextmanager
def created(path: Path) -> Iterator[int]:
    """Open an empty file at ``path`` for writing; UnfitError for what the volume refuses."""
    yield from _writable(path, os.O_CREAT | os.O_TRUNC)


@contextmanager
def existing(path: Path) -> Iterator[int]:
    yield from _writable(path, 0)


def _writable(path: Path, flags: int) -> Iterator[int]:
    with writing(path):
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o644)
        try:
            yield file
        finally:
            os.close(file)


def write_all(file: int, chunk: memoryview, at: int) -> int:
    """Write all of ``chunk`` at an offset; return how much that was."""
    done = 0
    while done < len(chunk):
        done += os.pwrite(file, chunk[done:], at + done)
    return done


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Blame the volume for an OSError in the block; the network's are PassingErrors already."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UnfitError(
                f"there is no room for {path}: {error.strerror}; ask for more ephemeral storage",
                code="InputNoRoom",
            ) from error
        raise UnfitError(
            f"cannot write {path}: {error.strerror}", code="InputUnwritable"
        ) from error


@contextmanager
def opened(path: Path, size: int) -> Iterator[int]:
    """Open a file that a task has left; UnfitError if it is not what was looked at before."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnfitError(f"cannot read {path}: {error.strerror}", code="OutputInvalid") from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            raise UnfitError(
                f"{path} changed while it was being shipped; let the task end (or write _SUCCESS)"
                " only when all its outputs are written",
                code="OutputInvalid",
            )
        yield file
    finally:
        os.close(file)
