"""
Generates the OpenAPI document of the resource API from its table of routes.

The schemas are those of the RPCs' messages in protobuf JSON; flyteidl2's modules have no comments,
so fields have no descriptions.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
)

from controlplane.api.resources.answers import REFUSALS
from controlplane.api.resources.requests import list_parameters
from controlplane.api.resources.route import BASE, Listed, Route
from controlplane.api.resources.routes import ROUTES
from controlplane.api.server import services
from controlplane.core.lists import DEFAULT_LIMIT, MAX_LIMIT
from scripts.openapi import KNOWN, SCALARS, error_schema

ROOT = Path(__file__).parent.parent
DOCUMENT = Path("controlplane/api/resources/openapi.json")

Json = dict[str, Any]

_PACKAGE = "flyteidl2."
_DOUBLES = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
_STRUCT: Mapping[str, Json] = {
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
    "google.protobuf.BoolValue": {"type": "boolean"},
    "google.protobuf.DoubleValue": {"type": "number"},
    "google.protobuf.StringValue": {"type": "string"},
}
_VALUES: Json = {
    "type": "object",
    "properties": {"inputs": {"type": "object"}, "outputs": {"type": "object"}},
}
_ABOUT = """\
Projects, tasks, runs, actions, settings and secrets over plain HTTP and JSON. `-` as the org is the \
org of the credential. The rules that all calls share (filters, pages, errors) are in \
docs/resource-api.md."""


class Document:
    """Collects operations and schemas."""

    def __init__(self) -> None:
        self.schemas: Json = {"Error": _error()}
        self.paths: Json = {}
        self._methods = {
            f"{service.full_name}/{method.name}": method
            for service in services()
            for method in service.methods
        }

    def add(self, routes: Sequence[Route]) -> None:
        """Add the operation of routes with the same method and path."""
        path = BASE + routes[0].path
        operation = {
            "operationId": _operation_id(routes[0]),
            "tags": [_tag(routes[0])],
            "description": " Or: ".join(route.about for route in routes),
            "parameters": [*_path_parameters(path), *_query(routes), *_headers(routes)],
            "responses": self._responses(routes),
        }
        if routes[0].takes_values:
            operation["requestBody"] = {"required": True, "content": _json({"type": "object"})}
        elif routes[0].body is not None:
            operation["requestBody"] = {
                "required": True,
                "content": _json(self._body(routes[0], self._methods[routes[0].rpc])),
            }
        self.paths.setdefault(path, {})[routes[0].method.lower()] = operation

    def render(self) -> str:
        document = {
            "openapi": "3.1.0",
            "info": {"title": "Volary resource API", "version": "v1", "description": _ABOUT},
            "servers": [{"url": "/"}],
            "security": [{"accessToken": []}],
            "paths": dict(sorted(self.paths.items())),
            "components": {
                "schemas": dict(sorted(self.schemas.items())),
                "responses": {
                    "Error": {
                        "description": "An error: its message says what to do.",
                        "content": _json({"$ref": "#/components/schemas/Error"}),
                    }
                },
                "securitySchemes": {
                    "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
                },
            },
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def _responses(self, routes: Sequence[Route]) -> Json:
        found: Json = {}
        for route in routes:
            method = self._methods[route.rpc]
            answer = method.output_type
            if route.answer:
                answer = _type_of(answer.fields_by_name[route.answer])
            described: Json = {"description": "The answer."}
            status = "201" if route.is_create else "200" if answer.fields else "204"
            if route.renders_values:
                described["content"] = _json(_VALUES)
            elif route.lines:
                described["content"] = {"application/x-ndjson": {"schema": self._line(route)}}
            elif status != "204":
                described["content"] = _json(self._answer(route, answer))
            if route.has_etag:
                described["headers"] = {
                    "etag": {"description": "The version.", "schema": {"type": "string"}}
                }
            if content := _merge(found.get(status, {}), described):
                described["content"] = content
            found[status] = described
        for refusal in REFUSALS:
            found[str(refusal)] = {"$ref": "#/components/responses/Error"}
        return found

    def _line(self, route: Route) -> Json:
        line = self._methods[route.rpc].output_type
        for name in route.lines.split("."):
            line = _type_of(line.fields_by_name[name])
        return self._message(line, is_request=False)

    def _answer(self, route: Route, answer: Descriptor) -> Json:
        if not route.only:
            return self._message(answer, is_request=False)
        properties = {
            answer.fields_by_name[name].json_name: self._field(
                answer.fields_by_name[name], is_request=False
            )
            for name in route.only
        }
        return {"type": "object", "properties": properties}

    def _body(self, route: Route, method: MethodDescriptor) -> Json:
        request = method.input_type
        if route.body:
            filled = {path for path in route.fills.values() if path.startswith(f"{route.body}.")}
            body = request
            for name in route.body.split("."):
                body = _type_of(body.fields_by_name[name])
            if not filled:
                return self._message(body, is_request=True)
            left_out = {path.split(".")[1] for path in filled}
        else:
            body = request
            left_out = {
                path.split(".")[0] for path in (*route.fills.values(), *route.also.values())
            }
            left_out |= {name for name in ("run_id", "project_id") if "run_spec" in _names(body)}
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                field.json_name: self._field(field, is_request=True)
                for field in body.fields
                if field.name not in left_out
            },
        }

    def _message(self, message: Descriptor, *, is_request: bool) -> Json:
        """Return a reference to a message's schema, after adding it."""
        if message.full_name in _STRUCT:
            return dict(_STRUCT[message.full_name])
        known = KNOWN.get(f".{message.full_name}")
        if known is not None:
            return dict(known)
        name = message.full_name.removeprefix(_PACKAGE) + (".Input" if is_request else "")
        if name not in self.schemas:
            schema: Json = {"type": "object"}
            self.schemas[name] = schema  # before its fields, which may contain it
            schema["properties"] = {
                field.json_name: self._field(field, is_request=is_request)
                for field in message.fields
            }
            if is_request:
                schema["additionalProperties"] = False
        return {"$ref": f"#/components/schemas/{name}"}

    def _field(self, field: FieldDescriptor, *, is_request: bool) -> Json:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            values = self._single(kind.fields_by_name["value"], is_request=is_request)
            return {"type": "object", "additionalProperties": values}
        single = self._single(field, is_request=is_request)
        return {"type": "array", "items": single} if field.is_repeated else single

    def _single(self, field: FieldDescriptor, *, is_request: bool) -> Json:
        if field.message_type is not None:
            return self._message(field.message_type, is_request=is_request)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if field.type in _DOUBLES and not is_request:
            # An infinity is text in protobuf JSON.
            return {"type": ["number", "string"]}
        return dict(SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor) -> Json:
        name = enum.full_name.removeprefix(_PACKAGE)
        self.schemas[name] = {"type": "string", "enum": [value.name for value in enum.values]}
        return {"$ref": f"#/components/schemas/{name}"}


def _merge(earlier: Json, later: Json) -> Json:
    """Return the content of two answers of one status: each type's schemas, or any of them."""
    merged: Json = dict(earlier.get("content", {}))
    for kind, each in later.get("content", {}).items():
        known = merged.get(kind, each)
        schemas = [known["schema"], each["schema"]]
        merged[kind] = each if known == each else {"schema": {"anyOf": schemas}}
    return merged


def _type_of(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise ValueError(f"{field.full_name} is no message: no body and no answer can be that")
    return field.message_type


def _error() -> Json:
    schema = error_schema()
    details = {"type": "array", "items": {}, "maxItems": 0}
    return {**schema, "properties": {**schema["properties"], "details": details}}


def _names(message: Descriptor) -> set[str]:
    return set(message.fields_by_name)


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _operation_id(route: Route) -> str:
    """Return the method and the nouns of the path, with "by" before a parameter's name."""
    path = route.path.replace("{", "by_")
    return "_".join([route.method.lower(), *re.findall(r"[a-z_]+", path)])


def _tag(route: Route) -> str:
    """Return the last noun of the path."""
    nouns = [part for part in route.path.split("/") if not part.startswith("{")]
    return nouns[-1]


def _path_parameters(path: str) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(routes: Sequence[Route]) -> Iterator[Json]:
    listed = routes[0].listed
    fields = ", ".join(listed.fields.named) if isinstance(listed, Listed) else ""
    schemas: Mapping[str, Json] = {
        "filters": {"type": "string", "description": f"Filters; fields: {fields}."},
        "sort_by.key": {"type": "string", "description": f"A field: {fields}."},
        "sort_by.direction": {
            "type": "string",
            "enum": ["ASCENDING", "DESCENDING"],
            "default": "DESCENDING",
        },
        "limit": {
            "type": "integer",
            "minimum": 1,
            "default": DEFAULT_LIMIT,
            "description": f"Rows in a page; above {MAX_LIMIT} it is {MAX_LIMIT}.",
        },
        "token": {"type": "string", "description": "The token of the previous page."},
        **{name: {"type": "integer", "minimum": 0} for route in routes for name in route.query},
        **{route.flag: {"type": "boolean", "default": False} for route in routes if route.flag},
    }
    for name in list_parameters(routes):
        yield {"name": name, "in": "query", "schema": schemas.get(name, {"type": "string"})}


def _headers(routes: Sequence[Route]) -> Iterator[Json]:
    for route in routes:
        if route.header is not None:
            yield {
                "name": route.header.name,
                "in": "header",
                "description": route.about,
                "schema": {"type": "string"},
            }


def render() -> str:
    """Return the document, as it is stored."""
    document = Document()
    together: dict[tuple[str, str], list[Route]] = {}
    for route in ROUTES:
        together.setdefault((route.method, route.path), []).append(route)
    for routes in together.values():
        document.add(routes)
    return document.render()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT) / DOCUMENT
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render())
