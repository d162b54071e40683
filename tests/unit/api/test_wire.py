"""Bytes from strangers are unpacked no further than a request may go."""

import gzip
import os

import pytest
from connectrpc.code import Code
from connectrpc.codec import proto_json_codec
from connectrpc.errors import ConnectError
from google.protobuf.struct_pb2 import Struct

from controlplane.api.wire import MAX_REQUEST_BYTES, BoundedGzip, CheckedCodec

GZIP = BoundedGzip()


def test_gzip_round_trips() -> None:
    body = os.urandom(100_000)
    assert GZIP.decompress(GZIP.compress(body)) == body
    assert gzip.decompress(GZIP.compress(body)) == body
    assert GZIP.decompress(gzip.compress(b"")) == b""


def test_largest_request_is_decompressed_and_one_byte_more_is_refused() -> None:
    assert len(GZIP.decompress(gzip.compress(bytes(MAX_REQUEST_BYTES)))) == MAX_REQUEST_BYTES
    with pytest.raises(ConnectError) as raised:
        GZIP.decompress(gzip.compress(bytes(MAX_REQUEST_BYTES + 1)))
    assert raised.value.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"plain", id="no gzip"),
        pytest.param(gzip.compress(b"abc")[:-1], id="cut short"),
        pytest.param(gzip.compress(b"a") + b"more", id="with more behind it"),
    ],
)
def test_malformed_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(ConnectError) as raised:
        GZIP.decompress(body)
    assert raised.value.code is Code.INVALID_ARGUMENT


def test_answer_without_a_form_in_json_is_refused_with_the_remedy() -> None:
    struct = Struct()
    struct.fields["loss"].number_value = float("nan")
    with pytest.raises(ConnectError, match="ask for application/proto") as raised:
        CheckedCodec(proto_json_codec()).encode(struct)
    assert raised.value.code is Code.FAILED_PRECONDITION
