"""Bodies as they come: packed or not, in an envelope or not, whole or not."""

import gzip
import struct

import pytest
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest, WatchForUpdatesRequest

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.request_parsing import parse
from dataplane.agent.proxy.rules import RPCS

_CALL = RPCS["flyteidl2.actions.ActionsService/Enqueue"]
_STREAM = RPCS["flyteidl2.actions.ActionsService/WatchForUpdates"]
_UNARY_HEADERS = {"content-type": "application/proto"}
_STREAM_HEADERS = {
    "content-type": "application/connect+proto",
    "connect-content-encoding": "gzip",
}
_PACKED = {**_UNARY_HEADERS, "content-encoding": "gzip"}


def _enqueue() -> EnqueueRequest:
    request = EnqueueRequest()
    request.action.action_id.name = "a1"
    return request


def _envelope(flags: int, body: bytes) -> bytes:
    return struct.pack(">BI", flags, len(body)) + body


def test_unary_call_is_parsed_with_and_without_gzip() -> None:
    body = _enqueue().SerializeToString()
    assert parse(_CALL, body, _UNARY_HEADERS).message == _enqueue()
    packed = gzip.compress(body)
    assert parse(_CALL, packed, _PACKED).message == _enqueue()


@pytest.mark.parametrize("flags", [0, 1], ids=["plain", "packed"])
def test_stream_request_is_one_enveloped_message(flags: int) -> None:
    request = WatchForUpdatesRequest()
    request.parent_action_id.name = "a0"
    body = request.SerializeToString()
    text = gzip.compress(body) if flags else body
    assert parse(_STREAM, _envelope(flags, text), _STREAM_HEADERS).message == request


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0",
        _envelope(0, b"") + b"more",
        _envelope(0, b"") * 2,
        _envelope(0, b"abc")[:-1],
        _envelope(1, b"not gzip"),
    ],
)
def test_malformed_stream_request_is_refused(body: bytes) -> None:
    with pytest.raises(PodCallRefusedError) as refused:
        parse(_STREAM, body, _STREAM_HEADERS)
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"")[:-4],
        gzip.compress(_enqueue().SerializeToString()) * 2,
        gzip.compress(b"\xff\xff"),
    ],
    ids=["cut short", "two of them", "no message"],
)
def test_damaged_gzip_body_is_refused(body: bytes) -> None:
    with pytest.raises(PodCallRefusedError) as refused:
        parse(_CALL, body, _PACKED)
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_gzip_bomb_is_refused() -> None:
    bomb = gzip.compress(b"\0" * (4 * proxy_limits.REQUEST_BYTES))
    with pytest.raises(PodCallRefusedError) as refused:
        parse(_CALL, bomb, _PACKED)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "kind", ["", "application/json", "application/connect+proto", "application/grpc"]
)
def test_call_in_another_protocol_is_refused(kind: str) -> None:
    with pytest.raises(PodCallRefusedError) as refused:
        parse(_CALL, b"", {"content-type": kind})
    assert "application/proto" in refused.value.message
