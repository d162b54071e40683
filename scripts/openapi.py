"""
Generates the OpenAPI document of the platform API from its protobuf files.

Descriptions are the comments of those files, so protoc is run for them: the generated Python
modules have no comments. RPCs with streams are left out: they are not plain JSON.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from grpc_tools import protoc

from controlplane.api.errors import CODES
from controlplane.api.platform.bounds import MAX_ITEMS, MAX_STRING

ROOT = Path(__file__).parent.parent
FILES = Path("shared/idl/platform/v1")
DOCUMENT = FILES / "openapi.json"
PACKAGE = "volary.platform.v1"

Json = dict[str, Any]
Field = FieldDescriptorProto

_MESSAGE, _SERVICE, _ENUM = 4, 6, 5  # numbers of the fields of FileDescriptorProto
_FIELD, _METHOD, _VALUE = 2, 2, 2

SCALARS: Mapping[int, Json] = {
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    Field.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"},
    Field.TYPE_UINT64: {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"},
    Field.TYPE_STRING: {"type": "string"},
}
KNOWN: Mapping[str, Json] = {
    ".google.protobuf.Duration": {
        "type": "string",
        "pattern": "^-?[0-9]+([.][0-9]{1,9})?s$",
        "examples": ["3600s"],
    },
    ".google.protobuf.FieldMask": {
        "type": "string",
        "description": "Fields to change, in camel case, separated by commas.",
    },
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
_ABOUT = """\
Volary's own API: every call is a POST of JSON, and acts in the org of its credential. The rules \
that all calls share (ids, request ids, field masks, versions, pages) are in docs/platform-api.md."""


class Document:
    """Collects operations and schemas from the files."""

    def __init__(self) -> None:
        self.paths: Json = {}
        self.schemas: Json = {"Error": error_schema()}
        self.tags: list[Json] = []

    def add(self, file: FileDescriptorProto) -> None:
        """Add a file's services, messages and enums."""
        comments = {
            tuple(each.path): _text(each.leading_comments) or _text(each.trailing_comments)
            for each in file.source_code_info.location
        }
        for number, service in enumerate(file.service):
            path = (_SERVICE, number)
            self.tags.append({"name": service.name, "description": comments.get(path, "")})
            for index, method in enumerate(service.method):
                if not (method.client_streaming or method.server_streaming):
                    about = comments.get((*path, _METHOD, index), "")
                    self.paths[f"/{PACKAGE}.{service.name}/{method.name}"] = {
                        "post": _operation(service.name, method, about)
                    }
        for number, message in enumerate(file.message_type):
            self._add_message(message, comments, (_MESSAGE, number))
        for number, enum in enumerate(file.enum_type):
            self.schemas[enum.name] = _enum(enum, comments, (_ENUM, number))

    def render(self) -> str:
        document = {
            "openapi": "3.1.0",
            "info": {"title": "Volary platform API", "version": "v1", "description": _ABOUT},
            "servers": [{"url": "/"}],
            "security": [{"accessToken": []}],
            "tags": sorted(self.tags, key=lambda tag: str(tag["name"])),
            "paths": dict(sorted(self.paths.items())),
            "components": {
                "schemas": dict(sorted(self.schemas.items())),
                "securitySchemes": {
                    "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
                },
            },
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def _add_message(
        self, message: DescriptorProto, comments: Mapping[Any, str], path: tuple[int, ...]
    ) -> None:
        maps = {each.name: each for each in message.nested_type if each.options.map_entry}
        if len(maps) < len(message.nested_type) or message.enum_type:
            raise ValueError(f"{message.name}: define its nested types at the top of the file")
        is_request = message.name.endswith("Request")
        properties = {}
        for number, field in enumerate(message.field):
            schema = _schema(field, maps, is_request=is_request)
            about = comments.get((*path, _FIELD, number), "")
            if about and "$ref" not in schema:
                schema = {**schema, "description": about}
            properties[field.json_name] = schema
        schema = {"type": "object", "properties": properties}
        if is_request:  # an answer may have fields that a later release adds
            schema["additionalProperties"] = False
        if about := comments.get(path, ""):
            schema["description"] = about
        if message.oneof_decl:
            names = ", ".join(field.json_name for field in message.field if _in_oneof(field))
            schema["description"] = f"{about} One of {names}.".strip()
        self.schemas[message.name] = schema


def _in_oneof(field: Field) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def _operation(service: str, method: MethodDescriptorProto, about: str) -> Json:
    def content(schema: str) -> Json:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}

    return {
        "operationId": f"{service}_{method.name}",
        "tags": [service],
        **({"description": about} if about else {}),
        "requestBody": {"required": True, "content": content(_name(method.input_type))},
        "responses": {
            "200": {"description": "The answer.", "content": content(_name(method.output_type))},
            "default": {"description": "An error.", "content": content("Error")},
        },
    }


def _schema(field: Field, maps: Mapping[str, DescriptorProto], *, is_request: bool) -> Json:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        values = _single(entry.field[1], is_request=is_request)
        return {"type": "object", "additionalProperties": values}
    single = _single(field, is_request=is_request)
    if field.label != Field.LABEL_REPEATED:
        return single
    limit = {"maxItems": MAX_ITEMS} if is_request else {}
    return {"type": "array", "items": single, **limit}


def _single(field: Field, *, is_request: bool) -> Json:
    if field.type in {Field.TYPE_MESSAGE, Field.TYPE_ENUM}:
        known = KNOWN.get(field.type_name)
        return dict(known or {"$ref": f"#/components/schemas/{_name(field.type_name)}"})
    schema = dict(SCALARS[field.type])
    if is_request and field.type == Field.TYPE_STRING:
        schema["maxLength"] = MAX_STRING
    return schema


def _enum(enum: EnumDescriptorProto, comments: Mapping[Any, str], path: tuple[int, ...]) -> Json:
    values = [
        f"{value.name}: {about}"
        for number, value in enumerate(enum.value)
        if (about := comments.get((*path, _VALUE, number)))
    ]
    about = " ".join([comments.get(path, ""), *values]).strip()
    schema: Json = {"type": "string", "enum": [value.name for value in enum.value]}
    return {**schema, "description": about} if about else schema


def error_schema() -> Json:
    """Return the schema of an error's body."""
    codes = sorted({code.value for code in CODES.values()} | {"canceled", "internal", "unknown"})
    return {
        "type": "object",
        "description": "An error: its message says what is wrong and what to do.",
        "properties": {
            "code": {"type": "string", "enum": codes},
            "message": {"type": "string"},
        },
        "required": ["code"],
    }


def _name(type_name: str) -> str:
    prefix = f".{PACKAGE}."
    if not type_name.startswith(prefix):
        raise ValueError(f"{type_name}: say how its JSON looks, in KNOWN")
    return type_name.removeprefix(prefix)


def _text(comment: str) -> str:
    return " ".join(comment.split())


def _files() -> Iterator[FileDescriptorProto]:
    """Yield the API's files with their comments."""
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / FILES).glob("*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        into = Path(directory) / "files"
        own = files("grpc_tools") / "_proto"  # google/protobuf
        arguments = [
            f"-I{ROOT}",
            f"-I{own}",
            "--include_source_info",
            f"--descriptor_set_out={into}",
            *protos,
        ]
        if protoc.main(["protoc", *arguments]) != 0:
            raise SystemExit(1)
        yield from FileDescriptorSet.FromString(into.read_bytes()).file


def render() -> str:
    """Return the document, as it is stored."""
    document = Document()
    for file in _files():
        document.add(file)
    return document.render()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT) / DOCUMENT
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render())
