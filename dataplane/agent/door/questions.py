"""What a call says: unpacked and understood, within bounds, and judged."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from dataplane.agent.door import limits
from dataplane.agent.door.bodies import too_large
from dataplane.agent.door.callers import Caller
from dataplane.agent.door.kin import Kin
from dataplane.agent.door.refusals import Code, RefusedError
from dataplane.agent.door.rules import Rpc, Scope

_UNARY = "application/proto"
_STREAM = "application/connect+proto"
_PREFIX_BYTES = 5
_PACKED = 0b1


@dataclass(frozen=True, slots=True)
class Question:
    rpc: Rpc
    message: Any  # of the RPC's request type


def parse(rpc: Rpc, body: bytes, headers: Mapping[str, str]) -> Question:
    """Understand a body by the headers that go on with it; their names are lower-case."""
    expected = _STREAM if rpc.is_stream else _UNARY
    content_type = headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != expected:
        raise RefusedError(
            Code.INVALID_ARGUMENT,
            f"{rpc.name} takes {expected} here, as the SDK sends it, not {content_type!r}",
        )
    encoding = headers.get("connect-content-encoding" if rpc.is_stream else "content-encoding", "")
    text = body
    if rpc.is_stream:
        text, is_packed = _take_envelope(body)
        encoding = encoding if is_packed else ""
    try:
        message = rpc.request.FromString(_unpack(text, encoding))
    except DecodeError as error:
        raise RefusedError(
            Code.INVALID_ARGUMENT, f"the body is no {rpc.request.DESCRIPTOR.full_name}"
        ) from error
    return Question(rpc, message)


async def judge(question: Question, caller: Caller, kin: Kin) -> None:
    """Let a call through that is about the caller's own; RefusedError otherwise."""
    rule = question.rpc.rule
    own = (caller.run.project, caller.run.domain)
    for project, domain in rule.places(question.message):
        if (project, domain) != own:
            raise _refuse(question, f"{project}/{domain} is not where it runs: {own[0]}/{own[1]}")
    for run in rule.runs(question.message):
        if run == caller.run:
            continue
        if rule.scope is Scope.KIN and await kin.descends(run, caller.run, caller.org):
            continue
        raise _refuse(question, f"{run} is neither its own run, {caller.run}, nor started by it")


def _refuse(question: Question, reason: str) -> RefusedError:
    return RefusedError(
        Code.PERMISSION_DENIED,
        f"a task may not call {question.rpc.name} for this: {reason};"
        " call it from outside, with credentials of your own",
    )


def _take_envelope(body: bytes) -> tuple[bytes, bool]:
    """Return the one message that begins a server's stream, and whether it is packed."""
    length = int.from_bytes(body[1:_PREFIX_BYTES], "big")
    if len(body) != _PREFIX_BYTES + length:
        raise RefusedError(Code.INVALID_ARGUMENT, "the body is not one message in its envelope")
    return body[_PREFIX_BYTES:], bool(body[0] & _PACKED)


def _unpack(body: bytes, encoding: str) -> bytes:
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        raise RefusedError(Code.UNIMPLEMENTED, f"{encoding!r} is not understood; pack with gzip")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacking.decompress(body, limits.REQUEST_BYTES + 1)
    except zlib.error as error:
        raise RefusedError(
            Code.INVALID_ARGUMENT, "the body is said to be gzip and is not"
        ) from error
    if len(unpacked) > limits.REQUEST_BYTES:
        raise too_large(limits.REQUEST_BYTES)
    if not unpacking.eof:
        raise RefusedError(Code.INVALID_ARGUMENT, "the packed body ends before its time")
    if unpacking.unused_data:
        # Whoever reads on would see another message than was judged here.
        raise RefusedError(Code.INVALID_ARGUMENT, "something follows the packed body")
    return unpacked
