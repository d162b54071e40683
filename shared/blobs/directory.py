"""
Durable writes and symlink checks for a store in a local directory, which obstore lacks.

obstore follows symbolic links and does not flush to disk. Here a path that leads through
a link is refused, and a blob is on disk before it has its name: a power cut leaves the
old blob or the new one.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path, PurePosixPath

from shared.blobs.errors import BlobOutsideError


class Directory:
    """The root directory of a file store."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))

    def check(self, key: str, uri: str) -> None:
        """Raise BlobOutsideError if the path to ``key`` leads through a symbolic link."""
        path = os.path.join(self.root, key)  # noqa: PTH118 - Path would tidy the key
        if os.path.realpath(path) != path:
            raise BlobOutsideError(uri, "leads through a symbolic link; the store follows none")

    def draft_key(self, key: str) -> str:
        """Name a temporary file in the directory of ``key``, to write its content to first."""
        return str(PurePosixPath(key).with_name(f".{secrets.token_hex(8)}.part"))

    def publish(self, draft: str, key: str, *, replace: bool) -> None:
        """
        Flush the draft to disk and rename it to ``key``.

        Without ``replace`` an existing file stays, and FileExistsError is raised.
        """
        path = self.root / key
        with (self.root / draft).open("rb") as file:
            os.fsync(file.fileno())
        if replace:
            (self.root / draft).replace(path)
        else:
            path.hardlink_to(self.root / draft)
            (self.root / draft).unlink()
        names = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(names)
        finally:
            os.close(names)

    def discard(self, draft: str) -> None:
        """Remove a draft if it exists; failures are ignored."""
        with suppress(OSError):  # report the failure that led here, not this one
            (self.root / draft).unlink()
