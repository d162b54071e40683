"""
The definitions of the operators' resources, as their authors publish them.

They are not copied here (Apache-2.0, except Dask's, BSD-3-Clause): the first test that wants
them fetches the pinned releases, from the Go module proxy and from PyPI, checks their digests
and keeps what is needed of them in ``.cache/kube``.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_CACHE = Path(__file__).parents[4] / ".cache" / "kube"
_FETCHED_WITHIN_SECONDS = 300


class NoDefinitionsError(Exception):
    """The definitions cannot be fetched here; the message says why."""


@dataclass(frozen=True, slots=True)
class Module:
    """A release of an operator written in Go."""

    name: str
    version: str
    digest: str  # as in a go.sum
    paths: tuple[str, ...]

    def fetch(self, scratch: Path) -> Sequence[bytes]:
        go = shutil.which("go")
        if go is None:
            raise NoDefinitionsError("there is no Go toolchain to fetch the operators' modules")
        last_reported = _run(
            [go, "mod", "download", "-json", f"{self.name}@{self.version}"],
            scratch,
            GOFLAGS="-mod=mod",
        )
        found = json.loads(last_reported)
        if found["Sum"] != self.digest:
            raise NoDefinitionsError(f"{self.name} {self.version} is not what it was: {found}")
        return [Path(found["Dir"], path).read_bytes() for path in self.paths]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A release of an operator written in Python."""

    name: str
    version: str
    digest: str  # sha256
    paths: tuple[str, ...]

    def fetch(self, scratch: Path) -> Sequence[bytes]:
        desired = scratch / "wanted.txt"
        desired.write_text(f"{self.name}=={self.version} --hash=sha256:{self.digest}\n")
        _run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--require-hashes", "--only-binary=:all:", "--dest", str(scratch)),
                *("--requirement", str(desired)),
            ],
            scratch,
        )
        (wheel,) = scratch.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            return [packed.read(path) for path in self.paths]


_KUBEFLOW = "manifests/base/crds/kubeflow.org_{}.yaml"
_DASK = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds/{}.yaml"

RELEASES: Sequence[Module | Wheel] = (
    Module(
        "sigs.k8s.io/jobset",
        "v0.8.0",
        "h1:80cJcPld+IMdKFOqzEW4et3Y6lGAPcP8YmBZ+aiKGYA=",
        ("config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml",),
    ),
    Module(
        "github.com/kubeflow/training-operator",
        "v1.8.1",
        "h1:mVvoBSCInbMBX0gGSn4+Ihj3ycwoLO1iEAw+0qPhQfc=",
        tuple(_KUBEFLOW.format(each) for each in ("mpijobs", "pytorchjobs", "tfjobs")),
    ),
    Module(
        "github.com/kubeflow/spark-operator/v2",
        "v2.3.0",
        "h1:cYN/331gwkdZ0S/ai72JQoUv7UK52O2OQOWFpl8XhPc=",
        ("config/crd/bases/sparkoperator.k8s.io_sparkapplications.yaml",),
    ),
    Module(
        "github.com/ray-project/kuberay/ray-operator",
        "v1.3.0",
        "h1:c7PKkepTtkDpnAXhZVt5MxSVZC8Jh2s2BvKUvtgCwR0=",
        ("config/crd/bases/ray.io_rayjobs.yaml",),
    ),
    Wheel(
        "dask-kubernetes",
        "2026.3.0",
        "5cf138e03cb1851063b82b74e9fd4679251238e3867fcae1e3682aada6410728",
        (_DASK.format("daskjob"),),
    ),
)


def fetch_definitions() -> Sequence[dict[str, Any]]:
    """Return the CustomResourceDefinitions; NoDefinitionsError if they are not to be had."""
    key = hashlib.sha256(repr(RELEASES).encode()).hexdigest()[:16]
    kept = _CACHE / f"operators-{key}.json"
    if not kept.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        made = [_read(body) for release in RELEASES for body in _fetch(release)]
        unfinished = kept.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(made))
        unfinished.replace(kept)
    definitions: Sequence[dict[str, Any]] = json.loads(kept.read_text())
    return definitions


def _fetch(release: Module | Wheel) -> Sequence[bytes]:
    with tempfile.TemporaryDirectory(prefix="volary-operators-") as scratch:
        return release.fetch(Path(scratch))


def _read(body: bytes) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition: dict[str, Any] = yaml.load(body, Loader=loader)  # noqa: S506 - a safe one
    _strip(definition)
    # There is no webhook to convert versions; each has one that is stored.
    definition["spec"].pop("conversion", None)
    definition.pop("status", None)
    return definition


def _strip(node: Any) -> None:
    """Leave out descriptions, nine tenths of it; what is called so is a mapping."""
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            del node["description"]
        for each in node.values():
            _strip(each)
    elif isinstance(node, list):
        for each in node:
            _strip(each)


def _run(command: Sequence[str], place: Path, **env: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command,
            cwd=place,
            env={**os.environ, **env},
            check=True,
            capture_output=True,
            text=True,
            timeout=_FETCHED_WITHIN_SECONDS,
        )
    except (subprocess.SubprocessError, OSError) as error:
        output = re.sub(r"\s+", " ", str(getattr(error, "stderr", "") or error))[-300:]
        raise NoDefinitionsError(f"{' '.join(command[:4])} failed: {output}") from error
    return done.stdout
