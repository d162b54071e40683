"""Writes charts as an OCI image layout, which oras, skopeo and crane push to a registry as it is."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Chart:
    """A packed chart, with the content of its Chart.yaml."""

    metadata: dict[str, Any]
    archive: bytes

    @classmethod
    def read(cls, chart: Path, archive: Path) -> "Chart":
        return cls(yaml.safe_load((chart / "Chart.yaml").read_text()), archive.read_bytes())


def write_layout(folder: Path, charts: Sequence[Chart]) -> None:
    """Write the layout: each chart is a manifest with the name ``<chart>:<version>``."""
    (folder / "blobs/sha256").mkdir(parents=True)
    manifests = []
    for chart in charts:
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _add(folder, _CONFIG, _json(chart.metadata)),
            "layers": [_add(folder, _CONTENT, chart.archive)],
        }
        name = f"{chart.metadata['name']}:{chart.metadata['version']}"
        added = _add(folder, _MANIFEST, _json(manifest))
        manifests.append({**added, "annotations": {_NAME: name}})
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
    (folder / "index.json").write_bytes(_json(index))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def _add(folder: Path, media: str, content: bytes) -> dict[str, Any]:
    """Store a blob, and return its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(content)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
