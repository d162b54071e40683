"""
The previous release, made of this repository's history, to run beside the current one.

There is no release yet: a commit stands for it, whose schema is older than the current one. The
dependencies are those of the current release. Set both constants at each release, and
``SCHEMA_OF_PREVIOUS_RELEASE`` in ``tests/architecture/test_migration_steps.py``.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

COMMIT = "722c3f7df3ee1b23202be4fb6eea340ed44dea6e"
VERSION = "0.0.9"
"""The version that it reports, so that both can be told apart."""

_AGENT = '"volary-agent 0.1.0"'
_ROOT = Path(__file__).parents[3]
_PACKAGES = ("controlplane", "dataplane", "shared")


class NoHistoryError(AssertionError):
    """The clone lacks the commit, so that the previous release cannot be made."""


def export() -> Path:
    """Return a directory with the packages of the previous release; made once for a clone."""
    made = _ROOT / ".cache" / "previous-release" / COMMIT
    if made.is_dir():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=made.parent))
    with tarfile.open(fileobj=BytesIO(_archive())) as archive:
        archive.extractall(unfinished, filter="data")
    _name_version(unfinished)
    metadata = unfinished / f"volary-{VERSION}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: volary\nVersion: {VERSION}\n")
    try:
        unfinished.rename(made)
    except OSError:  # another worker was faster
        shutil.rmtree(unfinished)
    return made


def _name_version(release: Path) -> None:
    """Have its agent report the version as well, which is a constant in it."""
    path = release / "dataplane/agent/link/channel.py"
    code = path.read_text()
    assert code.count(_AGENT) == 1
    path.write_text(code.replace(_AGENT, f'"volary-agent {VERSION}"'))


def environment(release: Path) -> Mapping[str, str]:
    """Return the variables with which a program is of this release, wherever it is started."""
    return {"PYTHONPATH": str(release), "PYTHONSAFEPATH": "1"}


def current() -> Mapping[str, str]:
    """Return the variables with which a program is of the current release."""
    return environment(_ROOT)


def _archive() -> bytes:
    made = subprocess.run(  # noqa: S603 -- our own arguments
        ["git", "-C", str(_ROOT), "archive", COMMIT, *_PACKAGES],  # noqa: S607
        capture_output=True,
        check=False,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
    )
    if made.returncode:
        raise NoHistoryError(
            f"the previous release is commit {COMMIT}, which this clone does not have "
            f"({made.stderr.decode().strip()}); run `git fetch --unshallow`"
        )
    return made.stdout
