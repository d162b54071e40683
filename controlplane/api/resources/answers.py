"""Writes answers and errors of the resource API, with HTTP's status for every code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from google.protobuf.message import Message

from controlplane.api.resources.route import Route
from controlplane.api.wire import JSON_CODEC

STATUS: Mapping[Code, int] = {
    Code.ABORTED: 409,
    Code.ALREADY_EXISTS: 409,
    Code.CANCELED: 499,
    Code.DEADLINE_EXCEEDED: 504,
    Code.FAILED_PRECONDITION: 412,
    Code.INTERNAL: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.OUT_OF_RANGE: 400,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNAUTHENTICATED: 401,
    Code.UNAVAILABLE: 503,
    Code.UNIMPLEMENTED: 501,
}
REFUSALS = sorted({*STATUS.values(), 405, 413, 415})
"""Every status of an error."""

_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


def render_message(route: Route, part: Any) -> Answer:
    """Write a message as protobuf JSON: 201 if it was created, 204 if it has no fields."""
    headers = [_JSON]
    if route.renders_values:
        return Answer(200, part.value, headers)
    if route.has_etag and part.version:
        headers.append((b"etag", f'"{part.version}"'.encode()))
    if route.is_create:
        return Answer(201, JSON_CODEC.encode(part), headers)
    if not part.DESCRIPTOR.fields:
        return Answer(204, b"")
    return Answer(200, JSON_CODEC.encode(part), headers)


def pick(route: Route, response: Any) -> Any:
    """Return the part of a response that the route answers with."""
    part = getattr(response, route.answer) if route.answer else response
    if not isinstance(part, Message):
        part = part[-1]
    for field, _ in part.ListFields() if route.only else ():
        if field.name not in route.only:
            part.ClearField(field.name)
    return part


def render_error(
    error: ConnectError, headers: Sequence[tuple[bytes, bytes]] = (), *, status: int = 0
) -> Answer:
    """Write an error; ``status``: HTTP's own, if not that of the code."""
    body: dict[str, object] = {"code": error.code.value, "message": error.message, "details": []}
    more = [(b"www-authenticate", b"Bearer")] if error.code is Code.UNAUTHENTICATED else []
    return Answer(
        status or STATUS.get(error.code, 500), json.dumps(body).encode(), [_JSON, *more, *headers]
    )
