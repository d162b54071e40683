"""
Validates names from outside that become file names, so that none escapes its directory.

Names of variables, map keys and paths within a blob come from users; the last part of a
URI comes from another task.
"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from dataplane.copilot.errors import InvalidDataError

_MAX_NAME_BYTES = 255  # the limit of Linux file systems
_MAX_PATH_BYTES = 4000


def file_name(name: str, label: str, *, code: str = "InputInvalid") -> str:
    """Return ``name`` if it is a valid file name; InvalidDataError naming ``label`` if not."""
    reason = _flaw_of(name)
    if reason:
        raise InvalidDataError(f"{label} is named {name[:300]!r}, which {reason}", code=code)
    return name


def relative_path(path: str, label: str) -> PurePosixPath:
    """Return ``path`` if it stays within its base directory; InvalidDataError if not."""
    reason = next(filter(None, map(_flaw_of, path.split("/"))), "")
    if not reason and len(path.encode()) > _MAX_PATH_BYTES:
        reason = f"is longer than {_MAX_PATH_BYTES} bytes"
    if reason:
        raise InvalidDataError(
            f"a file of {label} is named {path[:300]!r}, which {reason}", code="InputInvalid"
        )
    return PurePosixPath(path)


def last_of(uri: str) -> str:
    """Return the last part of a URI's path; "" if it ends in a slash."""
    path = urlsplit(uri).path if uri.startswith(("http://", "https://")) else uri
    return path.rpartition("/")[2]


def _flaw_of(name: str) -> str:
    if name in {"", ".", ".."}:
        return "is not a file name"
    if "/" in name or "\0" in name:
        return "leaves its directory; use a name without slashes and NULs"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "is not valid Unicode"
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"is longer than {_MAX_NAME_BYTES} bytes, the limit of file systems"
    return ""
