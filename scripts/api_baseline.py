"""
Keeps what peers of another release rely on: the agents' link, the platform API, the HTTP API.

``tests/contract/baseline`` has one line for each field, enum value, RPC, path and parameter. A line
that is gone is an incompatible change: an agent, a client or a provider of an earlier release
breaks. ``python -m scripts.api_baseline`` adds the lines of what is new, and refuses to remove any;
who removes something on purpose removes its line by hand, and says why in the commit.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from scripts.descriptor_rules import Rule, rules

ROOT = Path(__file__).parent.parent
BASELINE = Path("tests/contract/baseline")
REMEDY = (
    "a peer of another release relies on it; leave it in place, as a field that is not used any "
    "more, and add the new form beside it"
)
_PACKAGES = {"agent.v1": "the agents' link", "platform.v1": "the platform API"}
_HTTP = Path("controlplane/api/resources/openapi.json")
_LABELS: Mapping[int, str] = {
    value: name.removeprefix("LABEL_").lower() for name, value in FieldDescriptorProto.Label.items()
}
_TYPES: Mapping[int, str] = {
    value: name.removeprefix("TYPE_").lower() for name, value in FieldDescriptorProto.Type.items()
}
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})


def describe_all() -> Mapping[str, Sequence[str]]:
    """Return the lines of each file of the baseline as the code is now, sorted."""
    found = {f"{package}.txt": sorted(_describe_package(package)) for package in _PACKAGES}
    document = json.loads((ROOT / _HTTP).read_text())
    return {**found, "http.v1.txt": sorted({*describe_http(document)})}


def describe_rules(schema: FileDescriptorSet) -> Iterator[str]:
    """Write the rules of protobuf files as lines that name things, not numbers of types."""
    for rule in rules(schema):
        yield _describe(rule)


def _describe_package(package: str) -> Iterator[str]:
    folder = ROOT / "shared" / "idl" / Path(*package.split("."))
    schema = FileDescriptorSet()
    for module in sorted(folder.glob("*_pb2.py")):
        imported = import_module(f"shared.idl.{package}.{module.stem}")
        imported.DESCRIPTOR.CopyToProto(schema.file.add())
    yield from describe_rules(schema)


def _describe(rule: Rule) -> str:
    match rule:
        case (message, number, name, shape):
            label, kind, *others = shape.split(" ")
            type_name, oneof = (*others, "", "")[:2]
            parts = [_LABELS[int(label)], type_name or _TYPES[int(kind)]]
            return f"{message} field {number} {name}: {' '.join([*parts, oneof]).strip()}"
        case (enum, number, name):
            return f"{enum} value {number} {name}"
        case (service, method, takes, gives, streams):
            return f"{service} rpc {method}({takes}) returns {gives}, streams {streams}"
        case _:
            raise AssertionError(rule)


def describe_http(document: Mapping[str, Any]) -> Iterator[str]:
    """
    Write what clients of an OpenAPI document rely on.

    That something is optional is a line of its own, so that requiring it later removes the line.
    """
    for path, operations in document["paths"].items():
        for method in _METHODS & operations.keys():
            where, operation = f"{method.upper()} {path}", operations[method]
            yield f"{where} id {operation['operationId']}"
            for each in operation.get("parameters", []):
                name = f"{where} {each['in']} parameter {each['name']}"
                yield f"{name}: {_type_of(each.get('schema', {}))}"
                if not each.get("required"):
                    yield f"{name} is optional"
            for code, answer in operation["responses"].items():
                if code.startswith("2"):
                    yield f"{where} answers {code} {_content_of(answer)}"
            if "requestBody" in operation:
                yield f"{where} takes {_content_of(operation['requestBody'])}"
    for schema, described in document["components"]["schemas"].items():
        required = described.get("required", [])
        for name, each in described.get("properties", {}).items():
            yield f"{schema} property {name}: {_type_of(each)}"
            if name not in required:
                yield f"{schema} property {name} is optional"
        for value in described.get("enum", []):
            yield f"{schema} value {value}"


def _content_of(described: Mapping[str, Any]) -> str:
    content = described.get("content", {})
    return ", ".join(f"{kind} {_type_of(each['schema'])}" for kind, each in content.items())


def _type_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = schema.get("type", "any")
    name = "|".join(kind) if isinstance(kind, list) else str(kind)
    if name == "array":
        return f"array of {_type_of(schema.get('items', {}))}"
    values = schema.get("additionalProperties")
    if name == "object" and isinstance(values, dict):
        return f"map to {_type_of(values)}"
    return f"{name} {schema['format']}" if "format" in schema else name


def read(root: Path = ROOT) -> Mapping[str, Sequence[str]]:
    """Read the baseline: the lines of each file."""
    return {
        path.name: path.read_text().splitlines() for path in sorted((root / BASELINE).glob("*.txt"))
    }


def find_removed(
    baseline: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]
) -> Sequence[str]:
    """List the lines of the baseline that do not hold any more."""
    return [
        f"{name}: {line}"
        for name, lines in baseline.items()
        for line in lines
        if line not in frozenset(now.get(name, ()))
    ]


def main() -> None:
    now, baseline = describe_all(), read()
    removed = find_removed(baseline, now)
    if removed:
        print(*removed, sep="\n", file=sys.stderr)
        sys.exit(f"{len(removed)} lines of {BASELINE} do not hold any more: {REMEDY}")
    for name, lines in now.items():
        path = ROOT / BASELINE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
