"""Statements about a release: bill of materials, provenance, checksums, signature."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as Part, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scripts.release.components import Component
from scripts.release.licences import licence_of
from scripts.release.source import ReleaseError, Source, run

CHECKSUMS = "SHA256SUMS"
NAMESPACE = "volary-release"
"""The namespace of signatures, which ``ssh-keygen -Y verify -n`` names."""

_IDS = uuid.UUID("6a1f6d0e-62a4-5f0f-9f0c-9d1b5d0f7a3e")
_BUILD_TYPE = "https://volary.dev/build/make-release/v1"


def render_bill(source: Source, components: Iterable[Component]) -> str:
    """Render a CycloneDX 1.6 document; equal components of a commit give an equal document."""
    bom = Bom(serial_number=uuid.uuid5(_IDS, source.commit))
    bom.metadata.timestamp = source.date
    volary = Part(
        name="volary", version=source.version, type=ComponentType.APPLICATION, bom_ref="volary"
    )
    bom.metadata.component = volary
    for each in components:
        namespace, _, name = each.name.rpartition("/")
        purl = PackageURL(each.kind, namespace or None, name, each.version)
        licence = licence_of(each)
        bom.components.add(
            Part(
                name=each.name,
                version=each.version,
                type=ComponentType.LIBRARY,
                purl=purl,
                bom_ref=purl.to_string(),
                licenses=[LicenseExpression(licence)] if licence else [],
            )
        )
    bom.register_dependency(volary, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def render_provenance(source: Source, digests: Mapping[str, str]) -> str:
    """Render an in-toto statement with SLSA's provenance of the files, by their SHA-256."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {"version": source.version},
                "internalParameters": {"SOURCE_DATE_EPOCH": source.time},
                "resolvedDependencies": [{"digest": {"gitCommit": source.commit}}],
            },
            "runDetails": {"builder": {"id": _BUILD_TYPE}},
        },
    }
    return json.dumps(statement, indent=2, sort_keys=True) + "\n"


def digests_of(folder: Path, *, but: Sequence[str] = ()) -> Mapping[str, str]:
    """Return the SHA-256 of each file below a folder, by its path in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }


def render_checksums(digests: Mapping[str, str]) -> str:
    """Render what ``sha256sum --check`` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def sign(file: Path, key: Path) -> None:
    """Sign a file with an SSH key, whose signature is ``<file>.sig``; ReleaseError if it fails."""
    if not key.is_file():
        raise ReleaseError(f"SIGNING_KEY {key} is no file: name a private key of ssh-keygen")
    file.with_name(f"{file.name}.sig").unlink(missing_ok=True)
    run("ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(key), file.name, at=file.parent)
