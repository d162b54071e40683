"""
Slow builds, cached in ``.cache`` under the digest of their inputs.

So a stale build is never used, and going back to an older commit rebuilds nothing. A build
can run in the background; callers that need it meanwhile wait.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
CACHE = _ROOT / ".cache"


class NotBuiltError(Exception):
    """It is not to be had here; the message says why, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One file: where it is or will be, and how it is made."""

    result: Path  # what it is made of is in its name
    module: str  # whose command line ends in :meth:`obey`
    remedy: str
    make: Callable[[Path], None]  # given the file to write; NotBuiltError says what is missing

    def find(self) -> Path:
        """Return the file once it is built; NotBuiltError if no build is running."""
        if not self.result.exists() and self.result.parent.is_dir():
            with self._only_maker():
                pass  # it was being made, or nobody makes it
        if not self.result.exists():
            raise NotBuiltError(f"{self.result.name} is not built: {self.remedy}. {self._said()}")
        return self.result

    def obey(self, arguments: list[str]) -> None:
        """Be a command: make it here and now, or ``begin`` to, in the background."""
        self.result.parent.mkdir(parents=True, exist_ok=True)
        try:
            match arguments:
                case ["begin"]:
                    self._begin()
                case ["locked"]:
                    self._make()
                case _:
                    with self._only_maker():
                        self._make()
                    sys.stdout.write(f"{self.result}\n")
        except (NotBuiltError, subprocess.CalledProcessError) as error:
            sys.exit(f"{self.result.name} could not be built: {error}")

    def _begin(self) -> None:
        with self._only_maker() as lock, self._log.open("wb") as log:
            if not self.result.exists():
                subprocess.Popen(  # noqa: S603 -- our own arguments
                    [sys.executable, "-m", self.module, "locked"],
                    cwd=_ROOT,
                    pass_fds=[lock],  # the lock is the maker's now, and gone with it
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def _make(self) -> None:
        if self.result.exists():
            return
        unfinished = self.result.with_suffix(f".{os.getpid()}")
        try:
            self.make(unfinished)
            unfinished.rename(self.result)
        finally:
            unfinished.unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self.result.parent / "build.log"

    def _said(self) -> str:
        """Tell how a maker in the background ended."""
        output = self._log.read_text(errors="replace").strip() if self._log.exists() else ""
        return f"It was tried:\n{output[-2000:]}" if output else ""

    @contextmanager
    def _only_maker(self) -> Iterator[int]:
        """Wait for other builds to end and lock out new ones; return the lock's descriptor."""
        lock = os.open(self.result.parent / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock
        finally:
            os.close(lock)  # whoever inherited it keeps the lock
