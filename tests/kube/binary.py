"""
The one file that has Kubernetes' programs in it: ``make kube`` builds it, tests find it.

It takes minutes the first time, so ``make kube-begin`` begins it beside other things.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kube.builds import CACHE, Build, NotBuiltError

_SOURCE = Path(__file__).parent / "cluster"
_VERSION = re.compile(r"^\tk8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)$", re.MULTILINE)


class NoKubernetesError(Exception):
    """A part of Kubernetes is not to be had here; the message says which, and the remedy."""


def find() -> Path:
    """Return the binary once it is built; NoKubernetesError if no build is running."""
    try:
        return _build().find()
    except NotBuiltError as error:
        raise NoKubernetesError(str(error)) from error


def _build() -> Build:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((_SOURCE / name).read_bytes())
    return Build(
        result=CACHE / "kube" / f"cluster-{digest.hexdigest()[:16]}",
        module="tests.kube.binary",
        remedy="run make kube (it needs Go)",
        make=_make,
    )


def _make(binary: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise NotBuiltError("there is no Go toolchain: install Go 1.26 and put go on the PATH")
    sys.stderr.write("Building Kubernetes for the tests: minutes at first, seconds later.\n")
    sys.stderr.flush()
    subprocess.run(  # noqa: S603 -- our own arguments
        [
            *(go, "build", "-trimpath", "-buildvcs=false"),
            *("-ldflags", _link_flags(), "-o", binary, "."),
        ],
        cwd=_SOURCE,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )


def _link_flags() -> str:
    """Strip it, and tell it its version, which a build outside Kubernetes' tree does not know."""
    found = _VERSION.search((_SOURCE / "go.mod").read_text())
    if found is None:
        raise NotBuiltError(f"{_SOURCE / 'go.mod'} does not require k8s.io/kubernetes")
    version, major, minor = found.groups()
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = (
        f"-X {package}.{name}={value}" for package in packages for name, value in values.items()
    )
    return " ".join(["-s", "-w", *stamps])


if __name__ == "__main__":
    _build().obey(sys.argv[1:])
