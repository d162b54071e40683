"""
The one file that has Kubernetes' programs in it: ``make kube`` builds it, tests find it.

It stands in ``.cache/kube/`` under the digest of what it is built from, so that a stale one
is never run and going back to an older commit builds nothing. It takes minutes the first
time, so it can be begun beside other things: whoever wants it meanwhile waits.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_SOURCE = Path(__file__).parent / "cluster"
_CACHE = _ROOT / ".cache" / "kube"
_VERSION = re.compile(r"^\tk8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)$", re.MULTILINE)


class NoKubernetesError(Exception):
    """A part of Kubernetes is not to be had here; the message says which, and the remedy."""


def path() -> Path:
    """Tell where the binary is, or will be."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((_SOURCE / name).read_bytes())
    return _CACHE / f"cluster-{digest.hexdigest()[:16]}"


def find() -> Path:
    """Give the binary, once whoever builds it is done; NoKubernetesError if nobody does."""
    binary = path()
    if not binary.exists() and _CACHE.is_dir():
        with _only_builder():
            pass  # it was being built, or nobody builds it
    if not binary.exists():
        raise NoKubernetesError(
            f"{binary.name} is not built: run make kube (it needs Go). {_last_words()}"
        )
    return binary


def _last_words() -> str:
    """Tell how a builder in the background ended."""
    log = _CACHE / "build.log"
    said = log.read_text(errors="replace").strip() if log.exists() else ""
    return f"It was tried:\n{said[-2000:]}" if said else ""


def begin() -> None:
    """Start to build it beside whatever comes next; what the builder says is in a log."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with _only_builder() as lock, (_CACHE / "build.log").open("wb") as log:
        if not path().exists():
            subprocess.Popen(
                [sys.executable, "-m", "tests.kube.binary", "locked"],
                cwd=_ROOT,
                pass_fds=[lock],  # the lock is the builder's now, and gone with it
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def build() -> Path:
    """Build it here and now, unless it is there."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with _only_builder():
        return _build()


def _build() -> Path:
    binary = path()
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise NoKubernetesError("there is no Go toolchain: install Go 1.26 and put go on the PATH")
    sys.stderr.write("Building Kubernetes for the tests: minutes at first, seconds later.\n")
    sys.stderr.flush()
    unfinished = binary.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run(  # noqa: S603 -- our own arguments
            [
                *(go, "build", "-trimpath", "-buildvcs=false"),
                *("-ldflags", _link_flags(), "-o", unfinished, "."),
            ],
            cwd=_SOURCE,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
        )
        unfinished.rename(binary)
    finally:
        unfinished.unlink(missing_ok=True)
    return binary


def _link_flags() -> str:
    """Strip it, and tell it its version, which a build outside Kubernetes' tree does not know."""
    found = _VERSION.search((_SOURCE / "go.mod").read_text())
    if found is None:
        raise NoKubernetesError(f"{_SOURCE / 'go.mod'} does not require k8s.io/kubernetes")
    version, major, minor = found.groups()
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = (
        f"-X {package}.{name}={value}" for package in packages for name, value in values.items()
    )
    return " ".join(["-s", "-w", *stamps])


@contextmanager
def _only_builder() -> Iterator[int]:
    """Wait until nobody builds, and see that nobody begins; gives the lock's descriptor."""
    lock = os.open(_CACHE / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)  # whoever inherited it keeps the lock


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["begin"]:
                begin()
            case ["locked"]:
                _build()
            case _:
                sys.stdout.write(f"{build()}\n")
    except (NoKubernetesError, subprocess.CalledProcessError) as error:
        sys.exit(f"Kubernetes could not be built: {error}")
