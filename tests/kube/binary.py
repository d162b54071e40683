"""
The one file that has Kubernetes' programs in it: ``make kube`` builds it, tests find it.

It stands in ``.cache/kube/`` under the digest of what it is built from, so that a stale one
is never run and going back to an older commit builds nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
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
    """Give the binary; NoKubernetesError while nobody has built it."""
    binary = path()
    if not binary.exists():
        raise NoKubernetesError(f"{binary.name} is not built yet: run make kube (it needs Go)")
    return binary


def build() -> Path:
    """Build the binary unless it is there: minutes at first, seconds from Go's own cache."""
    binary = path()
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise NoKubernetesError("there is no Go toolchain: install Go 1.26 and put go on the PATH")
    sys.stderr.write("Building Kubernetes for the tests: minutes at first, seconds later.\n")
    _CACHE.mkdir(parents=True, exist_ok=True)
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


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except (NoKubernetesError, subprocess.CalledProcessError) as error:
        sys.exit(f"Kubernetes could not be built: {error}")
