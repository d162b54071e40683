"""Verifies transferred bytes, and translates file errors into errors for users."""

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

from dataplane.copilot.errors import InvalidDataError, TransferRefusedError, TransientError

CRC32 = "x-amz-checksum-crc32"

_CORRUPT_TRIES = 4
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Headers(Protocol):
    """Interface to an HTTP response's status and headers."""

    @property
    def status(self) -> int: ...
    def header(self, name: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Version:
    """Size and ETag that identify one version of a blob that is downloaded in parts."""

    size: int
    etag: str


def read_version(answer: Headers, start: int, uri: str) -> Version:
    """Return the blob's version from the response to a range request for bytes from ``start``."""
    etag = answer.header("ETag")
    if answer.status == 206:
        fields = answer.header("Content-Range")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", fields)
        if found is None or int(found[1]) != start:
            raise TransferRefusedError(
                f"{uri}: bytes from {start} were requested, the store sent {fields!r}"
            )
        return Version(int(found[2]), etag)
    if start:
        raise TransferRefusedError(
            f"{uri}: the store sent the whole blob where a part was requested"
        )
    length = answer.header("Content-Length")
    return Version(int(length) if length.isdigit() else -1, etag)


def known_md5(answer: Headers) -> bytes | None:
    """
    Return the MD5 of the whole blob, if the response's headers contain it.

    An ETag of S3 is the MD5 of a blob that was uploaded in one part, unless the blob is
    encrypted with a KMS key or a customer's key.
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


def require_md5(expected: bytes | None, found: bytes, uri: str) -> None:
    """Raise a retriable error if the MD5 of the downloaded bytes is not the store's."""
    if expected is not None and expected != found:
        raise TransientError(
            f"{uri} was corrupted in transit: its MD5 is {found.hex()}, not {expected.hex()}",
            tries=_CORRUPT_TRIES,
        )


def require_crc32(fields: Headers, expected: str, md5: Callable[[], bytes], uri: str) -> None:
    """
    Raise a retriable error if a PUT's response does not confirm the CRC-32 that was sent.

    A store that has verified the CRC-32 returns it. For one that does not, the ETag counts
    if it is an MD5; ``md5`` computes the expected one.
    """
    stored = fields.header(CRC32)
    if stored == expected or (not stored and known_md5(fields) == md5()):
        return
    raise TransientError(
        f"{uri} was corrupted in transit: the store returned the CRC-32 {stored or '(none)'}"
        f" and the ETag {fields.header('ETag')}, where {expected} was sent",
        tries=_CORRUPT_TRIES,
    )


@contextmanager
def created(path: Path) -> Iterator[int]:
    """Open an empty file at ``path`` for writing; InvalidDataError if the volume does not allow it."""
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
    """Write all of ``chunk`` at the offset ``at``; return the number of bytes."""
    done = 0
    while done < len(chunk):
        done += os.pwrite(file, chunk[done:], at + done)
    return done


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate an OSError of the volume into an InvalidDataError; the network's are translated already."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise InvalidDataError(
                f"the volume is full, cannot write {path}: {error.strerror}; request more"
                " ephemeral storage",
                code="InputNoRoom",
            ) from error
        raise InvalidDataError(
            f"cannot write {path}: {error.strerror}", code="InputUnwritable"
        ) from error


@contextmanager
def opened(path: Path, size: int) -> Iterator[int]:
    """Open an output file for reading; InvalidDataError if its size or type has changed since listed."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidDataError(
            f"cannot read {path}: {error.strerror}", code="OutputInvalid"
        ) from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            raise InvalidDataError(
                f"{path} changed while it was being uploaded; let the task end (or write _SUCCESS)"
                " only when all its outputs are written",
                code="OutputInvalid",
            )
        yield file
    finally:
        os.close(file)
