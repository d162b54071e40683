"""
Extracts the schemas of cloud resources that infra/terraform uses, from npm's packages of CDK for Terraform.

    python -m scripts.terraform_schemas

The binaries of those providers are on no registry that tests may use; their schemas are in these
packages, as types: the name of each argument, whether it is required, and its type. The result in
``tests/terraform/schemas`` is what tests hold the modules to. Needs npm, and 110 MB of downloads.
"""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
SCHEMAS = _ROOT / "tests" / "terraform" / "schemas"
_CONFIGURATIONS = _ROOT / "infra" / "terraform"
PACKAGES = {
    "aws": "@cdktf/provider-aws@21.22.1",
    "azurerm": "@cdktf/provider-azurerm@14.23.1",
    "google": "@cdktf/provider-google@16.12.1",
    "helm": "@cdktf/provider-helm@12.1.2",
    "kubernetes": "@cdktf/provider-kubernetes@12.1.1",
    "random": "@cdktf/provider-random@12.0.1",
}
_USED = re.compile(r'^(resource|data) "(\w+)" ', re.MULTILINE)
_INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_CLASS = re.compile(
    r"^export declare class (\w+) extends [^{]*\{(.*?)^\}", re.MULTILINE | re.DOTALL
)
_FIELD = re.compile(
    r"/\*\*(?P<about>(?:(?!\*/).)*?)\*/\s+readonly (?P<name>\w+)(?P<optional>\??): (?P<type>(?:\{[^}]*\}|[^;{])+);",
    re.DOTALL,
)
_ANCHOR = re.compile(r"#(\w+) \w+#\w+\}")
_GETTER = re.compile(r"^    get (\w+)\(\): ([^;]+);", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """The types of one resource or data source."""

    interfaces: Mapping[str, str]
    classes: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "Source":
        return cls(dict(_INTERFACE.findall(text)), dict(_CLASS.findall(text)))

    def block(self, interface: str, output: str) -> dict[str, Any]:
        """Return arguments and blocks of an interface, and what its class computes."""
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for found in _FIELD.finditer(self.interfaces.get(interface, "")):
            anchor = _ANCHOR.search(found["about"])
            if anchor is None:
                continue
            kind, is_list = _element(found["type"])
            if kind in self.interfaces and f"{anchor[1]} block" in found["about"]:
                blocks[anchor[1]] = {
                    "required": not found["optional"],
                    "many": is_list,
                    **self.block(kind, f"{kind}OutputReference"),
                }
            else:
                # Nested attributes may leave fields out, which an object's type does not allow.
                attributes[anchor[1]] = {
                    "kind": "optional" if found["optional"] else "required",
                    "type": "dynamic" if kind in self.interfaces else self.type(found["type"]),
                }
        for name, kind in _GETTER.findall(self.classes.get(output, "")):
            written = _snake(name)
            if written == "id" or not (
                name.endswith("Input")
                or name in {"internalValue", "fqn"}
                or written in attributes
                or written in blocks
            ):
                attributes[written] = {"kind": "computed", "type": self.type(kind)}
        return {"attributes": attributes, "blocks": blocks}

    def type(self, written: str) -> Any:
        """Return a type as Terraform's JSON writes it."""
        kind, is_list = _element(written)
        if kind in {"cdktf.StringMap", "{ [key: string]: string; }"}:
            return ["map", "string"]
        if kind in {"cdktf.BooleanMap", "cdktf.NumberMap", "cdktf.AnyMap"}:
            return [
                "map",
                "bool" if "Boolean" in kind else "number" if "Number" in kind else "dynamic",
            ]
        for suffix in ("StructList", "List"):
            element = kind.removesuffix(suffix)
            if element != kind and f"{element}OutputReference" in self.classes:
                return ["list", self.object(element)]
        element = kind.removesuffix("OutputReference")
        if element in self.interfaces or f"{element}OutputReference" in self.classes:
            return ["list", self.object(element)] if is_list else self.object(element)
        simple = {"string": "string", "number": "number", "boolean": "bool"}.get(kind, "dynamic")
        return ["list", simple] if is_list else simple

    def object(self, element: str) -> Any:
        block = self.block(element, f"{element}OutputReference")
        fields = {name: each["type"] for name, each in block["attributes"].items()}
        fields |= {name: ["list", self.object_of(each)] for name, each in block["blocks"].items()}
        return ["object", fields]

    def object_of(self, block: Mapping[str, Any]) -> Any:
        return ["object", {name: each["type"] for name, each in block["attributes"].items()}]


def _element(written: str) -> tuple[str, bool]:
    """Return a type without what every type of CDK for Terraform has, and whether it is a list."""
    kind = written.replace("| cdktf.IResolvable", "").replace("| undefined", "").strip()
    kind = re.sub(r"\s+", " ", kind.strip("()").strip())
    if kind.endswith("[]"):
        return kind.removesuffix("[]").strip("() "), True
    return {"cdktf.IResolvable": "boolean"}.get(kind, kind), False


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", name).lower()


def list_used() -> Mapping[str, set[tuple[str, str]]]:
    """Return the (resource or data, type) that modules and examples use, by provider."""
    used: dict[str, set[tuple[str, str]]] = {}
    for file in sorted(_CONFIGURATIONS.rglob("*.tf")):
        for kind, name in _USED.findall(file.read_text()):
            provider = name.partition("_")[0]
            if provider in PACKAGES:
                used.setdefault(provider, set()).add((kind, name))
    return used


def extract(package: Path, provider: str, used: set[tuple[str, str]]) -> dict[str, Any]:
    """Return the schemas of the types that are used."""
    schema: dict[str, Any] = {"resource": {}, "data": {}}
    with tarfile.open(package) as archive:
        schema["provider"] = _read(archive, "provider")
        attributes = schema["provider"]["attributes"]
        for name in [name for name, each in attributes.items() if each["kind"] == "computed"]:
            del attributes[name]
        for kind, name in sorted(used):
            folder = name.removeprefix(f"{provider}_").replace("_", "-")
            folder = f"data-{provider}-{folder}" if kind == "data" else folder
            schema[kind][name] = _read(archive, folder)
    return schema


def _read(archive: tarfile.TarFile, folder: str) -> dict[str, Any]:
    # The types of large resources are split over several files.
    parts = re.compile(rf"package/lib/{folder}/(index|index-structs/structs\d+)\.d\.ts")
    files = [name for name in archive.getnames() if parts.fullmatch(name)]
    contents = [content.read().decode() for each in files if (content := archive.extractfile(each))]
    if not contents:
        sys.exit(f"the package has no {folder}")
    source = Source.parse("\n".join(contents))
    [config] = [
        each
        for each in source.interfaces
        if each.endswith("Config") and each.removesuffix("Config") in source.classes
    ]
    return source.block(config, config.removesuffix("Config"))


def main() -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("this needs npm; run make test-needs")
    SCHEMAS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        for provider, used in list_used().items():
            packed = subprocess.run(  # noqa: S603 -- our own arguments
                [npm, "pack", "--silent", PACKAGES[provider]],
                cwd=home,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            schema = {"package": PACKAGES[provider], **extract(Path(home, packed), provider, used)}
            (SCHEMAS / f"{provider}.json").write_text(
                json.dumps(schema, indent=1, sort_keys=True) + "\n"
            )


if __name__ == "__main__":
    main()
