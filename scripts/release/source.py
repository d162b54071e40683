"""The source of a release: one commit, exported without anything that is not in it."""

import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


class ReleaseError(Exception):
    """The release cannot be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A clone and its commit; ``time`` is the commit's, in seconds, and the time of all files."""

    root: Path
    commit: str
    time: int
    version: str

    @classmethod
    def read(cls, root: Path) -> "Source":
        """Read the commit that is checked out; ReleaseError if files differ from it."""
        if changed := git(root, "status", "--porcelain", "--untracked-files=no"):
            raise ReleaseError(f"commit or undo these first: a release is of a commit\n{changed}")
        return cls.of_head(root)

    @classmethod
    def of_head(cls, root: Path) -> "Source":
        """Return the commit that is checked out, whatever the files are now."""
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        commit, time = git(root, "log", "-1", "--format=%H %ct").split()
        return cls(root, commit, int(time), project["version"])

    @property
    def date(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def export(self, into: Path) -> None:
        """Write the commit's files into a folder."""
        into.mkdir(parents=True)
        archive = into.with_suffix(".tar")
        git(self.root, "archive", "--output", str(archive), self.commit)
        run("tar", "-xf", str(archive), "-C", str(into), at=self.root)
        archive.unlink()


def git(root: Path, *arguments: str) -> str:
    return run("git", *arguments, at=root).strip()


def run(*command: str, at: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command and return its output; ReleaseError with what it wrote if it fails."""
    if shutil.which(command[0]) is None:
        raise ReleaseError(f"there is no {command[0]}, which a release needs: run make test-needs")
    done = subprocess.run(  # noqa: S603 - our own command lines
        command,
        cwd=at,
        env={**os.environ, **(environment or {})},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ReleaseError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout
