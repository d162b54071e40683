"""Parse and authorize a call's message: decompressed within limits, decoded, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.bodies import too_large
from dataplane.agent.proxy.callers import Caller
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.rules import Rpc
from dataplane.agent.proxy.run_lineage import RunLineage
from shared.kit import gzip
from shared.model.task_calls import (
    Scope,
    explain_refusal,
    find_refusal,
    list_other_runs,
    refuse_run,
)

_UNARY = "application/proto"
_STREAM = "application/connect+proto"
_PREFIX_BYTES = 5
_PACKED = 0b1


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    rpc: Rpc
    message: Any  # of the RPC's request type


def parse(rpc: Rpc, body: bytes, headers: Mapping[str, str]) -> ParsedRequest:
    """Decode a body by the headers that are forwarded with it; their names are lower-case."""
    expected = _STREAM if rpc.is_stream else _UNARY
    content_type = headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != expected:
        raise PodCallRefusedError(
            Code.INVALID_ARGUMENT,
            f"{rpc.name} requires the content type {expected}, as the SDK sends it, not {content_type!r}",
        )
    encoding = headers.get("connect-content-encoding" if rpc.is_stream else "content-encoding", "")
    text = body
    if rpc.is_stream:
        text, is_packed = _take_envelope(body)
        encoding = encoding if is_packed else ""
    try:
        message = rpc.request.FromString(_unpack(text, encoding))
    except DecodeError as error:
        raise PodCallRefusedError(
            Code.INVALID_ARGUMENT, f"the body is not a valid {rpc.request.DESCRIPTOR.full_name}"
        ) from error
    return ParsedRequest(rpc, message)


async def authorize(request_message: ParsedRequest, caller: Caller, lineage: RunLineage) -> None:
    """Accept a call about the caller's own objects; PodCallRefusedError otherwise."""
    rule, message = request_message.rpc.rule, request_message.message
    if reason := find_refusal(rule, message, caller.action):
        raise _reject(request_message, reason)
    for run in list_other_runs(rule, message, caller.run):
        if rule.scope is Scope.LINEAGE and await lineage.descends(run, caller):
            continue
        raise _reject(request_message, refuse_run(run, caller.run))


def _reject(request_message: ParsedRequest, reason: str) -> PodCallRefusedError:
    return PodCallRefusedError(
        Code.PERMISSION_DENIED, explain_refusal(request_message.rpc.name, reason)
    )


def _take_envelope(body: bytes) -> tuple[bytes, bool]:
    """Return the single request message of a server stream, and whether it is compressed."""
    length = int.from_bytes(body[1:_PREFIX_BYTES], "big")
    if len(body) != _PREFIX_BYTES + length:
        raise PodCallRefusedError(
            Code.INVALID_ARGUMENT, "the body is not one message in its envelope"
        )
    return body[_PREFIX_BYTES:], bool(body[0] & _PACKED)


def _unpack(body: bytes, encoding: str) -> bytes:
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        raise PodCallRefusedError(
            Code.UNIMPLEMENTED, f"the encoding {encoding!r} is not supported; use gzip"
        )
    try:
        return gzip.decompress(body, at_most=proxy_limits.REQUEST_BYTES)
    except gzip.GzipTooLargeError as error:
        raise too_large(proxy_limits.REQUEST_BYTES) from error
    except gzip.GzipError as error:
        raise PodCallRefusedError(
            Code.INVALID_ARGUMENT, f"the body cannot be decompressed: {error}"
        ) from error
