"""Lists what a release contains of other people: packages of Python, Go and npm, with their licences."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.release.source import run

EXTRAS = (
    *("controlplane", "agent", "copilot", "embedded", "traces"),
    *("secrets-azure", "secrets-gcp", "secrets-vault"),
)
"""Extras that users install; the others are developers'."""

_MODULES = "{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}"
# The first words of a licence's text that tell it from others.
_TEXTS = (
    ("Mozilla Public License", "MPL-2.0"),
    ("Apache License", "Apache-2.0"),
    ("Permission is hereby granted, free of charge", "MIT"),
    ("Neither the name", "BSD-3-Clause"),
    ("Redistribution and use in source and binary forms", "BSD-2-Clause"),
)


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """A package: ``kind`` is purl's (pypi, golang, npm); ``licence`` is as the package says it."""

    kind: str
    name: str
    version: str
    licence: str


def python_components() -> Sequence[Component]:
    """List the packages that the installed ``volary`` needs with the extras of users."""
    seen: set[tuple[str, str]] = set()
    waiting = [("volary", extra) for extra in ("", *EXTRAS)]
    found: dict[str, Component] = {}
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # of another platform
        found[name] = Component("pypi", name, package.version, _read_licence(package))
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                to = canonicalize_name(needed.name)
                waiting += [(to, each) for each in ("", *needed.extras)]
    del found["volary"]
    return sorted(found.values())


def _read_licence(package: Distribution) -> str:
    """Return the licence expression, or else the classifiers, or else the first line of the field."""
    if expression := package.metadata["License-Expression"]:
        return str(expression)
    prefix = "License :: "
    named = [
        each.rpartition(" :: ")[2]
        for each in package.metadata.get_all("Classifier") or ()
        if each.startswith(prefix) and each != "License :: OSI Approved"
    ]
    if named:
        return " OR ".join(named)
    return (package.metadata["License"] or "").partition("\n")[0].strip()


def go_components(root: Path) -> Sequence[Component]:
    """List the modules that are linked into the Terraform provider."""
    provider = root / "infra/terraform/provider"
    lines = run("go", "list", "-deps", "-f", _MODULES, ".", at=provider).splitlines()
    modules = (line.split("\t") for line in sorted(set(lines)) if line)
    return [
        Component("golang", name, version, _detect_licence(Path(folder)))
        for name, version, folder in modules
        if version
    ]


def _detect_licence(folder: Path) -> str:
    """Tell a licence by its text; empty if there is none that is known."""
    for file in sorted(folder.glob("LICEN[SC]E*")):
        text = re.sub(r"\s+", " ", file.read_text(errors="replace"))
        for words, licence in _TEXTS:
            if words in text:
                return licence
    return ""


def npm_components(root: Path) -> Sequence[Component]:
    """List the packages that are bundled into the console."""
    locked = json.loads((root / "console/package-lock.json").read_text())["packages"]
    return sorted(_bundled(locked))


def _bundled(locked: dict[str, dict[str, object]]) -> Iterator[Component]:
    for path, package in locked.items():
        if path and not package.get("dev") and not package.get("optional"):
            name = path.rpartition("node_modules/")[2]
            yield Component("npm", name, str(package["version"]), str(package.get("license", "")))
