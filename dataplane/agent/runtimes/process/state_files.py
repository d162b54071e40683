"""
Reads and writes state files of an attempt: atomic writes, validating reads.

The agent and the shim run as the user that tasks run as, and machines lose power, so a state
file may contain anything. ``StateUnreadableError`` names the file; it affects one attempt
and never ends the agent.
"""

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

_MAX_BYTES = 16 * 1024 * 1024  # a start order contains a task's whole environment
_NOT_A_FILE = {errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR}


class StateUnreadableError(Exception):
    """A state file cannot be read, or does not have the expected content."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path} cannot be read: {detail}")
        self.path = path
        self.detail = detail


def replace_file(path: Path, content: Mapping[str, object], *, durable: bool) -> None:
    """Write the file atomically; ``durable``: with fsync, so that it survives a power cut."""
    draft = _write_draft(path, content, durable=durable)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise
    if durable:
        _sync_directory(path.parent)


def create_file(path: Path, content: Mapping[str, object]) -> bool:
    """Create the file durably; False if it exists. Of several concurrent callers one succeeds."""
    draft = _write_draft(path, content, durable=True)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    _sync_directory(path.parent)
    return True


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to be read; never blocks on a pipe. FileNotFoundError if none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_A_FILE or isinstance(error, PermissionError):
            raise StateUnreadableError(path, str(error.strerror)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StateUnreadableError(path, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_file(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in the file, None if there is no file."""
    try:
        with open_file(path) as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(raw) > _MAX_BYTES:
        raise StateUnreadableError(path, f"it is larger than {_MAX_BYTES} bytes")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        detail = "it is empty" if not raw else f"it is not JSON ({error})"
        raise StateUnreadableError(path, detail) from error
    if not isinstance(found, dict):
        raise StateUnreadableError(path, "it is not a JSON object")
    return found


def rename_unreadable(path: Path) -> Path | None:
    """Rename an unreadable file, to be inspected; return its new path, None if it is gone."""
    target = path.with_name(f"{path.name}.unreadable")
    try:
        path.replace(target)
    except FileNotFoundError:
        return None
    except OSError:  # a directory of that name exists
        target = path.with_name(f"{path.name}.unreadable.{uuid4().hex}")
        path.replace(target)
    return target


def _write_draft(path: Path, content: Mapping[str, object], *, durable: bool) -> Path:
    draft = path.with_name(f".{path.name}.{uuid4().hex}")  # unique to this writer
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
        file.flush()
        if durable:
            os.fsync(descriptor)
    return draft


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
