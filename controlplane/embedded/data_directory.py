"""
Opens the data directory of ``volary up``: its lock, its secrets, the paths in it.

One process at a time, by a file lock that is released when the process dies. Secrets are
generated once and readable by their owner only. A directory that a newer release has used is
refused, because its database may have a newer schema.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from controlplane.embedded.connectivity import secrets_key_file_of
from controlplane.embedded.errors import UpError
from shared.secrets.keyrings import make_aes_key

DEFAULT = Path("~/.volary")
"""One directory that is easy to find, copy and delete; XDG's layout would be three."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def agent(self) -> Path:
        return self.root / "agent"

    def secret_file(self, name: str) -> Path:
        return self.root / "secrets" / name

    def secret(self, name: str) -> str:
        """Return the secret of that name, generated at its first use: 43 URL-safe characters."""
        path = self.secret_file(name)
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            made = secrets.token_urlsafe(32)
            _write_secret(path, made)
            return made

    def secrets_key_file(self) -> Path:
        """Return the file of keys that seal secrets, made with one key at its first use."""
        path = secrets_key_file_of(self.root)
        if not path.exists():
            _write_secret(path, make_aes_key())
        return path


@contextmanager
def opened(root: Path) -> Iterator[DataDirectory]:
    """Lock the directory for the length of a block; UpError says why it is not possible."""
    root = root.expanduser().resolve()
    with ExitStack() as stack:
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, lock)  # which releases the lock
            _lock(lock, root)
            _require_no_newer_release(root)
            for name in ("secrets", "agent", "blobs"):
                (root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UpError(
                f"cannot write to {root} ({error.strerror}); "
                "choose another directory with --data-dir"
            ) from error
        yield DataDirectory(root)


def _lock(lock: int, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        raise UpError(
            f"{root} is in use by another volary up (pid {holder}); "
            "stop that one, or choose another directory with --data-dir"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _require_no_newer_release(root: Path) -> None:
    path, current = root / "release", version("volary")
    last_used = path.read_text().strip() if path.exists() else current
    if _parts(last_used) > _parts(current):
        raise UpError(
            f"{root} was last used by Volary {last_used} and this is {current}; "
            "upgrade, or choose another directory with --data-dir"
        )
    path.write_text(f"{current}\n")


def _parts(release: str) -> tuple[int, ...]:
    """Parse ``"0.10.2"`` into numbers, so that 10 sorts after 9; other parts count as 0."""
    return tuple(int(part) if part.isdecimal() else 0 for part in release.split("."))


def _write_secret(path: Path, secret: str) -> None:
    """Write a secret atomically: half a password would lock us out of our own database."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
