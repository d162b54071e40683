"""
The previous release, to run beside the current one: its packages, as they were at a commit.

There is no release yet: a commit stands for it, whose schema is older than the current one. The
dependencies are those of the current release. At each release, set ``COMMIT`` and ``VERSION``,
make the archive again (``python -m tests.integration.upgrades.previous``), and set
``SCHEMA_OF_PREVIOUS_RELEASE`` in ``tests/architecture/test_migration_steps.py``.

The archive is in the repository, because the tests must also run in a clone without history.
"""

import lzma
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

COMMIT = "722c3f7df3ee1b23202be4fb6eea340ed44dea6e"
VERSION = "0.0.9"
"""The version that it reports, so that both can be told apart."""

_AGENT = '"volary-agent 0.1.0"'
_ROOT = Path(__file__).parents[3]
_PACKAGES = ("controlplane", "dataplane", "shared")


_ARCHIVE = Path(__file__).with_name("previous_release.tar.xz")


def export() -> Path:
    """Return a directory with the packages of the previous release; made once for a clone."""
    made = _ROOT / ".cache" / "previous-release" / COMMIT
    if made.is_dir():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=made.parent))
    with tarfile.open(_ARCHIVE) as archive:
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


def make_archive() -> None:
    """Make the archive of the previous release from the repository's history."""
    made = subprocess.run(  # noqa: S603 -- our own arguments
        ["git", "-C", str(_ROOT), "archive", COMMIT, *_PACKAGES],  # noqa: S607
        stdout=subprocess.PIPE,
        check=True,
    )
    _ARCHIVE.write_bytes(lzma.compress(made.stdout, preset=9))


if __name__ == "__main__":
    make_archive()
