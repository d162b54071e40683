"""Holds requests and answers of the platform API to its OpenAPI document."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import httpx
from jsonschema import Draft202012Validator

PACKAGE = "volary.platform.v1"


@cache
def document() -> Any:
    return json.loads((files("shared") / "idl/platform/v1/openapi.json").read_text())


def operation(rpc: str) -> Any:
    """Return the operation of "OrgService/GetOrg"."""
    return document()["paths"][f"/{PACKAGE}.{rpc}"]["post"]


def find_problems(rpc: str, request: object, answer: httpx.Response) -> list[str]:
    """Return in what an exchange differs from the document; what it does not describe does, too."""
    described = operation(rpc)
    response = described["responses"]["200" if answer.is_success else "default"]
    asked = described["requestBody"]["content"]["application/json"]["schema"]
    given = response["content"]["application/json"]["schema"]
    problems = list(_problems(answer.json(), given, "the answer"))
    # A request that was refused need not be one that the document allows.
    return problems + (list(_problems(request, asked, "the request")) if answer.is_success else [])


def is_request(rpc: str, request: object) -> bool:
    """Return whether the document allows this request."""
    asked = operation(rpc)["requestBody"]["content"]["application/json"]["schema"]
    return not list(_problems(request, asked, "the request"))


def _problems(value: object, schema: Mapping[str, Any], what: str) -> Iterator[str]:
    for error in _validator(schema["$ref"]).iter_errors(value):
        yield f"{what} at {error.json_path}: {error.message}"


@cache
def _validator(reference: str) -> Draft202012Validator:
    closed = {
        name: {"additionalProperties": False, **schema} if schema["type"] == "object" else schema
        for name, schema in document()["components"]["schemas"].items()
    }
    schema = {"$ref": reference, "components": {"schemas": closed}}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
