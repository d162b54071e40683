"""Tests of which streams are compressed as a whole, and that each message is flushed."""

import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from controlplane.api.compressed_streams import accepts_gzip, compress_stream

BROWSER = {"accept-encoding": "gzip, deflate, br", "content-type": "application/connect+proto"}


async def send_all(headers: Mapping[str, str]) -> list[Any]:
    sent: list[Any] = []

    async def collect(event: Any) -> None:
        sent.append(event)

    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    send = compress_stream(named, collect)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    for part in (b"one", b"two"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return sent


async def test_each_message_of_a_browser_stream_is_decompressed_when_it_arrives() -> None:
    start, *parts = await send_all(BROWSER)
    assert (b"content-encoding", b"gzip") in start["headers"]
    assert (b"a", b"b") in start["headers"]
    unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert [unpacking.decompress(part["body"]) for part in parts] == [b"one", b"two", b""]
    assert unpacking.eof


@pytest.mark.parametrize(
    "headers",
    [
        {**BROWSER, "content-type": "application/proto"},
        {**BROWSER, "accept-encoding": "br"},
        {**BROWSER, "connect-accept-encoding": "gzip"},
        {**BROWSER, "content-type": "application/grpc-web", "grpc-accept-encoding": "identity"},
        {"content-type": "application/connect+json"},
    ],
)
async def test_other_answers_are_sent_as_they_are(headers: Mapping[str, str]) -> None:
    start, one, *_ = await send_all(headers)
    assert start["headers"] == [(b"a", b"b")]
    assert one["body"] == b"one"


@pytest.mark.parametrize(
    ("value", "accepts"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("identity", False),
        ("", False),
    ],
)
def test_accepted_encoding_is_read_with_its_weight(value: str, *, accepts: bool) -> None:
    assert accepts_gzip(value.encode()) is accepts
