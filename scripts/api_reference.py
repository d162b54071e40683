"""
Renders ``docs/platform-reference.md`` and ``docs/http-reference.md`` from the OpenAPI documents.

Those are generated from the protobuf messages and the table of routes (``make generate``); the pages
list each call with its fields, for people who have no viewer of OpenAPI documents at hand.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
PLATFORM_PAGE = _ROOT / "docs" / "platform-reference.md"
HTTP_PAGE = _ROOT / "docs" / "http-reference.md"
_PLATFORM = _ROOT / "shared/idl/platform/v1/openapi.json"
_HTTP = _ROOT / "controlplane/api/resources/openapi.json"
_METHODS = ("get", "post", "put", "patch", "delete")

_PLATFORM_HEAD = """\
# Platform API: reference

Written by `make docs` from the OpenAPI document that the control plane serves; edit the comments in
`shared/idl/platform/v1`.

Each call is a POST of JSON to its path, or a call of Connect or gRPC. The rules that all share
(pages, versions, repeated calls, errors) are in [platform-api.md](platform-api.md), and the permission of
each is in [permissions.md](permissions.md).
"""

_HTTP_HEAD = """\
# HTTP API: reference

Written by `make docs` from the OpenAPI document that the control plane serves; edit the routes in
`controlplane/api/resources`.

Paths begin with `/api/v1/orgs/{org}`, where `-` is the org of the credential; it is left out below.
The rules that all calls share (filters, pages, errors) are in [resource-api.md](resource-api.md). Types of flyteidl2 are named as it names
them; `GET /openapi/resources.v1.json` answers with their fields.
"""


def platform_page() -> str:
    """Render the page of the platform API as Markdown."""
    document = json.loads(_PLATFORM.read_text())
    lines = [_PLATFORM_HEAD]
    service = ""
    for path, methods in sorted(document["paths"].items()):
        call = methods["post"]
        name, _, rpc = path.lstrip("/").partition("/")
        if name != service:
            service = name
            lines.append(f"## {service.removeprefix('volary.platform.v1.')}\n")
        lines += [f"### {rpc}", "", f"`POST {path}`", ""]
        lines += [text, ""] if (text := _text(call)) else []
        lines += _fields(document, "Request", _schema(call["requestBody"]))
        lines += _fields(document, "Answer", _schema(call["responses"]["200"]))
    return "\n".join([*lines, "## Types", "", *_types(document)])


def _types(document: Mapping[str, Any]) -> Iterator[str]:
    """Render the messages and enums that fields of requests and answers name."""
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name.endswith(("Request", "Response")):
            continue
        yield from [f"### {name}", ""]
        if text := _text(schema):
            yield from [text, ""]
        if values := schema.get("enum"):
            yield from [f"One of {', '.join(f'`{value}`' for value in values)}.", ""]
        yield from _fields(document, "Field", schema)


def http_page() -> str:
    """Render the page of the resource API as Markdown."""
    document = json.loads(_HTTP.read_text())
    lines = [_HTTP_HEAD]
    subject = ""
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method not in methods:
                continue
            call = methods[method]
            if (tag := call["tags"][0]) != subject:
                subject = tag
                lines.append(f"## {subject}\n")
            short = path.removeprefix("/api/v1/orgs/{org}")
            lines += [f"### {method.upper()} `{short}`", "", _text(call), ""]
            lines += _parameters(document, methods, call)
            lines += _fields(document, "Body", _schema(call.get("requestBody", {})))
            lines += _fields(document, "Answer", _schema(_success(call)))
    return "\n".join(lines)


def _success(call: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        answer for status, answer in call["responses"].items() if status.startswith("2")
    )
    return found


def _parameters(
    document: Mapping[str, Any], methods: Mapping[str, Any], call: Mapping[str, Any]
) -> Iterator[str]:
    declared = [
        _resolve(document, each)
        for each in [*methods.get("parameters", ()), *call.get("parameters", ())]
    ]
    rows = [
        f"| `{each['name']}` | {each['in']} | {_type(each.get('schema', {}))} | {_text(each)} |"
        for each in declared
        if each["in"] != "path"
    ]
    if rows:
        yield from ["| Parameter | In | Type | Meaning |", "|---|---|---|---|", *rows, ""]


def _schema(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a body; empty if it has none."""
    for media in content.get("content", {}).values():
        schema: Mapping[str, Any] = media.get("schema", {})
        return schema
    return {}


def _resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _fields(document: Mapping[str, Any], title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    properties = _resolve(document, schema).get("properties", {})
    if properties:
        yield from [f"| {title} | Type | Meaning |", "|---|---|---|"]
        for name, each in properties.items():
            yield f"| `{name}` | {_type(each)} | {_text(each)} |"
        yield ""


def _type(schema: Mapping[str, Any]) -> str:
    """Name a type as the OpenAPI document does; one of its schemas by the schema's name."""
    if reference := schema.get("$ref"):
        return str(reference).rpartition("/")[2]
    for several in ("allOf", "oneOf", "anyOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[several]))
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema.get('items', {}))}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"map to {_type(schema['additionalProperties'])}"
        case list(kinds):
            return " or ".join(kinds)
        case None:
            return "one of " + ", ".join(schema["enum"]) if "enum" in schema else "any"
        case kind:
            return str(schema.get("format") or kind)


def _text(described: Mapping[str, Any]) -> str:
    text = re.sub(r"\s+", " ", described.get("description", described.get("summary", ""))).strip()
    return text.replace("|", "&#124;").replace("<", "&lt;")
