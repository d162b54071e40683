"""
Garbage bytes on the HTTP port are answered with a client error, never a 500,
and no traceback reaches the log.
"""

import logging
import re
import struct
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, WatchRunDetailsRequest

from controlplane.web.http_limits import HttpLimits
from tests.integration.api.client import ApiUnderTest, open_api
from tests.integration.api.requests import create_run, enqueue, run_id
from tests.integration.api.test_origins import upload_link
from tests.servers.raw_http import connected, head_of

UNARY = "/flyteidl2.workflow.RunService/GetRunDetails"
STREAM = "/flyteidl2.workflow.RunService/WatchRunDetails"
MESSAGE = GetRunDetailsRequest(run_id=run_id("nobody")).SerializeToString()
WATCHED = WatchRunDetailsRequest(run_id=run_id("nobody")).SerializeToString()
PROTO, CONNECT, WEB = "application/proto", "application/connect+proto", "application/grpc-web+proto"
BUGS = ('"code":"internal"', '"code":"unknown"', "grpc-status: 13", "grpc-status: 2\r")
MUTATIONS = 400


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    """Small bounds, so that garbage which promises more is ended soon."""
    limits = HttpLimits(head_bytes=16 * 1024)
    async with open_api(database_url, tmp_path / "blobs", limits=limits) as opened:
        yield opened


def call(path: str, body: bytes, *headers: str) -> bytes:
    return head_of(path, f"content-length: {len(body)}", *headers) + body


def unary(*headers: str, body: bytes = MESSAGE, kind: str = PROTO) -> bytes:
    return call(UNARY, body, f"content-type: {kind}", *headers)


def envelope(message: bytes = WATCHED, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(message)) + message


def stream(*headers: str, body: bytes | None = None, kind: str = CONNECT) -> bytes:
    return call(STREAM, envelope() if body is None else body, f"content-type: {kind}", *headers)


def json(body: str) -> bytes:
    return unary(body=body.encode("utf-8", "surrogatepass"), kind="application/json")


def plain(target: str, *headers: str, method: str = "GET") -> bytes:
    return head_of(target, *headers, method=method)


GARBAGE: Mapping[str, bytes] = {
    "a header that is no UTF-8": unary("x-a: \xff\xfe"),
    "a header of a stream that is no UTF-8": stream("x-a: \xff"),
    "a content type that is no UTF-8": unary(kind="application/\xff"),
    "a request id that is no UTF-8": unary("x-request-id: \xc3("),
    "a header of a page that is no UTF-8": plain("/v2/domain/d/project/p/runs/r", "accept: \xff"),
    **{f"grpc-timeout {text!r}": unary(f"grpc-timeout: {text}", body=envelope(MESSAGE), kind=WEB)
       for text in ("x", "9", "S", "1Y", "-1S", "999999999S", "1.5S", "S1", "\xb2S", "1_0S")},
    **{f"grpc-timeout {text!r} of a stream": stream(f"grpc-timeout: {text}", kind=WEB)
       for text in ("x", "9", "1Y")},
    **{f"connect-timeout-ms {text!r}": unary(f"connect-timeout-ms: {text}")
       for text in ("x", "-1", "99999999999", "1e3", "\xb2")},
    "another version of the protocol": unary("connect-protocol-version: 2"),
    **{f"content type {kind!r}": unary(kind=kind) for kind in (
        "", "application/", "text/plain", "application/grpc", "application/grpc+proto",
        "Application/gRPC", "application/grpc-web", "application/grpc-web-text", CONNECT,
        "application/proto; charset=x; ;", "application/grpc-web+json", "application/connect+json",
        "application/grpc;x",
    )},
    **{f"content type {kind!r} of a stream": stream(kind=kind)
       for kind in ("", PROTO, "application/json", "application/grpc", "application/grpc-web")},
    "two content types": unary("content-type: application/grpc"),
    "two content types, the other way": unary("content-type: application/proto", kind="application/grpc"),
    "no content type": call(UNARY, MESSAGE),
    "gzip that is none": unary("content-encoding: gzip"),
    "an encoding that is not known": unary("content-encoding: zstd"),
    "an encoding of another case": unary("content-encoding: GZIP"),
    "a compressed envelope without an encoding": stream(body=envelope(flags=1)),
    "a compressed envelope of identity": stream("connect-content-encoding: identity", body=envelope(flags=1)),
    "a compressed envelope of an unknown encoding": stream("connect-content-encoding: zstd", body=envelope(flags=1)),
    "a compressed envelope that is no gzip": stream("connect-content-encoding: gzip", body=envelope(flags=1)),
    "a compressed envelope of gRPC-Web": unary(body=envelope(MESSAGE, flags=1), kind=WEB),
    "a stream of gRPC-Web, compressed": stream(body=envelope(flags=1), kind=WEB),
    "a second envelope, compressed": stream(body=envelope() + envelope(flags=1)),
    "a gRPC-Web encoding that is not known": stream("grpc-encoding: zstd", kind=WEB),
    "an end of stream": stream(body=envelope(flags=2)),
    "all flags": stream(body=envelope(flags=255)),
    "an envelope that promises more": stream(body=envelope()[:-1]),
    "an envelope of 4 GiB": stream(body=b"\0\xff\xff\xff\xff"),
    "half a prefix": stream(body=b"\0\0"),
    "no envelope": stream(body=b""),
    "two envelopes": stream(body=envelope() * 2),
    "an envelope of garbage": stream(body=envelope(b"\xff" * 20)),
    "no protobuf": unary(body=b"\xff" * 20),
    "a string that is no UTF-8": unary(body=b"\n\x04\n\x02\xff\xfe"),
    **{f"JSON {text[:20]!r}": json(text) for text in (
        "", "[]", "null", "1", '"x"', "{", "{}x", '{"runId": 1}', '{"runId": [1]}', '{"runId": null}',
        '{"nothing": 1}', '{"runId": {"name": 1e999}}', '{"runId": {"name": "\ud800"}}',
        r'{"runId": {"name": "\ud800"}}', "[" * 20_000, '{"runId":' * 5_000, "NaN", '{"runId": {}, "runId": {}}',
    )},
    **{f"JSON for CreateRun {text[:50]!r}": call(
        "/flyteidl2.workflow.RunService/CreateRun", text.encode(), "content-type: application/json")
       for text in (
        '{"taskSpec": {"taskTemplate": {"custom": {"a": NaN}}}}',
        '{"taskSpec": {"taskTemplate": {"custom": 1}}}',
        '{"runStartTime": "x"}', '{"runStartTime": "9999-99-99T00:00:00Z"}', '{"source": "X"}',
        '{"inputs": {"literals": [{"value": {"scalar": {"binary": {"value": "***"}}}}]}}',
        '{"runSpec": {"interruptible": "x"}}', '{"runSpec": {"maxActionConcurrency": -1}}',
    )},
    **{f"the method {method}": call(UNARY, MESSAGE, f"content-type: {PROTO}").replace(b"POST", method.encode(), 1)
       for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT", "FOO", "get")},
    "a query": unary().replace(b"Details ", b"Details?message=%ff&encoding=proto ", 1),
    "a GET with a query": unary().replace(b"POST", b"GET").replace(b"Details ", b"Details?encoding=proto&base64=1&message=%ff ", 1),
    **{f"the target {target!r}": plain(target) for target in (
        "*", "//", "/%ff%fe", "/%00", "/\xff", "/a b", "?", "x", "http://", "http://[/", "http://x:y/",
        "/flyteidl2.%ff/\x7f", "/flyteidl2.", "/v2/domain/%00/project/p/runs/r", "/v2/domain/d/project/p/runs/%ff",
        "/v2/domain/d/project/p/runs/r?i=%00", "/v2/domain/d/project/p/runs/r?i=%ed%a0%80",
        "/blobs/%00?x=1", "/blobs/../../etc/passwd", "/blobs/x?method=GET&expires=x&signature=%ff",
        "/blobs/x?expires=99999999999999999999&signature=00", "/blobs/",
    )},
    "a negative length": call(UNARY, b"", "content-length: -1"),
    "two lengths": unary("content-length: 5"),
    "a length with no end": head_of(UNARY, "content-length: 99999999999999999999999"),
    "a length and chunks": unary("transfer-encoding: chunked"),
    "another transfer encoding": head_of(UNARY, "transfer-encoding: gzip"),
    "chunks that are none": head_of(UNARY, "transfer-encoding: chunked") + b"zz\r\n",
    "a chunk of any length": head_of(UNARY, "transfer-encoding: chunked") + b"ffffffffffffffffff\r\n",
    "HTTP 0.9": b"GET /\r\n\r\n",
    "HTTP 9.9": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"x" * 200,
    "zeros": bytes(1000),
    "a name with a space": plain("/healthz", "a b: c"),
    "a header without a name": plain("/healthz", ": c"),
    "a folded header": plain("/healthz", "a: b\r\n c"),
    "a bare line feed": b"GET /nowhere HTTP/1.1\nhost: localhost\n\n",
    "a websocket": plain("/", "upgrade: websocket", "connection: upgrade", "sec-websocket-key: eHh4", "sec-websocket-version: 13"),
    "a websocket for an RPC": plain(UNARY, "upgrade: websocket", "connection: upgrade", "sec-websocket-key: eHh4", "sec-websocket-version: 13"),
    "an upgrade to h2c": plain("/nowhere", "upgrade: h2c", "connection: upgrade, http2-settings", "http2-settings: AAA"),
    "an expectation": unary("expect: 200-ok"),
    "two hosts": unary("host: localhost"),
    "no host": head_of("/healthz", method="GET", host=None),
}  # fmt: skip


async def judge(api: ApiUnderTest, request: bytes, caplog: pytest.LogCaptureFixture) -> bytes:
    """Send a request and the end; nothing that comes back or is logged may look like a bug."""
    caplog.clear()
    async with connected(api.url) as client:
        if await client.send(request):
            client.writer.write_eof()
        output = await client.read_to_end()
    for status in re.findall(rb"HTTP/1.1 (\d{3}) ", output):
        assert status < b"500" or (status == b"501" and b"unimplemented" in output), output
    text = output.decode("latin-1").replace('": "', '":"')
    assert not any(bug in text for bug in BUGS), text
    logged = [record for record in caplog.records if record.exc_info or record.levelno >= 40]
    assert not logged, (logged[0].getMessage(), logged[0].exc_text or logged[0].exc_info)
    return output


async def test_garbage_is_refused_as_the_clients(
    api: ApiUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = {}
    for name, request in GARBAGE.items():
        try:
            await judge(api, request, caplog)
        except AssertionError as error:
            wrong[name] = str(error)
    assert not wrong


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a header that is no UTF-8", "the header x-a is not UTF-8"),
        ("grpc-timeout '1Y'", "grpc-timeout is '1Y'"),
        ("two content types", "2 content-type headers"),
        ("a compressed envelope without an encoding", "flagged as compressed"),
    ],
)
async def test_refusal_of_garbage_says_what_is_wrong(
    api: ApiUnderTest, caplog: pytest.LogCaptureFixture, name: str, words: str
) -> None:
    output = await judge(api, GARBAGE[name], caplog)
    assert b"invalid_argument" in output
    assert words.encode() in output


async def test_mutated_requests_are_never_bugs(
    api: ApiUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await api.runs.create_run(create_run())
    address = urlsplit(await upload_link(api))
    seeds = [
        unary("accept-encoding: gzip", "connect-timeout-ms: 5000", "grpc-timeout: 5S"),
        unary(body=envelope(MESSAGE), kind=WEB),
        stream("connect-accept-encoding: gzip"),
        json('{"runId": {"project": "flytesnacks", "domain": "development", "name": "r1"}}'),
        call(
            "/flyteidl2.workflow.RunService/CreateRun",
            create_run("r2").SerializeToString(),
            f"content-type: {PROTO}",
        ),
        call(
            "/flyteidl2.actions.ActionsService/Enqueue",
            enqueue(api, "c1").SerializeToString(),
            f"content-type: {PROTO}",
        ),
        call(f"{address.path}?{address.query}", b"print()").replace(b"POST", b"PUT", 1),
        plain(
            "/v2/domain/development/project/flytesnacks/runs/r1?i=a0", "accept: application/json"
        ),
    ]
    chance = Random(8)
    for number in range(MUTATIONS):
        request = mutate(chance.choice(seeds), chance)
        try:
            await judge(api, request, caplog)
        except AssertionError as error:
            raise AssertionError(f"mutation {number}: {request!r}") from error


def mutate(seed: bytes, chance: Random) -> bytes:
    """Change a few bytes, or take out, repeat or swap a part."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data)), chance.randint(1, 20)
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1 if len(data) > 2 * length:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length] * chance.randint(1, 5)
            case _:
                data[at:at] = chance.randbytes(length)
    return bytes(data)
