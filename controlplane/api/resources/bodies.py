"""Reads bodies of requests: JSON, bounded, not compressed."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from controlplane.api.wire import MAX_REQUEST_BYTES

_JSON = "application/json"
_MAX_QUOTED = 100  # characters of a header in an error message


class BodyRefusedError(Exception):
    """The body cannot be read; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read(
    headers: Mapping[str, str], receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
) -> bytes:
    """Return the body; BodyRefusedError if it is too large, is compressed, or is not JSON."""
    body = bytearray()
    has_more = True
    while has_more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise BodyRefusedError(400, "the request ended before its body did")
        body += event.get("body", b"")
        if len(body) > MAX_REQUEST_BYTES:
            raise BodyRefusedError(
                413,
                f"the body is larger than {MAX_REQUEST_BYTES} bytes; upload large data as files",
            )
        has_more = event.get("more_body", False)
    if body:
        _require_json(headers)
    return bytes(body)


def _require_json(headers: Mapping[str, str]) -> None:
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise BodyRefusedError(
            415, f"content-encoding is {encoding[:_MAX_QUOTED]!r}; send the body uncompressed"
        )
    kind = headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != _JSON:
        raise BodyRefusedError(415, f"content-type is {kind[:_MAX_QUOTED]!r}; send {_JSON}")
