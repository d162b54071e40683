"""
Names that come from outside and become files: none leads out of its directory.

Variables, map keys and paths within a blob are a user's words; the last part of a URI is
another task's.
"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from dataplane.copilot.errors import UnfitError

_MAX_NAME_BYTES = 255  # what file systems take
_MAX_PATH_BYTES = 4000


def file_name(name: str, what: str, *, code: str = "InputInvalid") -> str:
    """Return ``name`` if it can be that of one file; UnfitError naming ``what`` if not."""
    reason = _unfit(name)
    if reason:
        raise UnfitError(f"{what} is named {name[:300]!r}, which {reason}", code=code)
    return name


def relative_path(path: str, what: str) -> PurePosixPath:
    """Return ``path`` if it stays below where it is put; UnfitError if not."""
    reason = next(filter(None, map(_unfit, path.split("/"))), "")
    if not reason and len(path.encode()) > _MAX_PATH_BYTES:
        reason = f"is longer than {_MAX_PATH_BYTES} bytes"
    if reason:
        raise UnfitError(
            f"a file of {what} is named {path[:300]!r}, which {reason}", code="InputInvalid"
        )
    return PurePosixPath(path)


def last_of(uri: str) -> str:
    """Return the last part of a URI's path; "" if it ends in a slash."""
    path = urlsplit(uri).path if uri.startswith(("http://", "https://")) else uri
    return path.rpartition("/")[2]


def _unfit(name: str) -> str:
    if name in {"", ".", ".."}:
        return "names no file"
    if "/" in name or "\0" in name:
        return "leads elsewhere; use a name without slashes and NULs"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "is no Unicode text"
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"is longer than the {_MAX_NAME_BYTES} bytes a file system takes"
    return ""
