"""
Tests of the proxy with garbage from pods: refused as client errors, without a traceback, and
within bounds. No Kubernetes: tokens are not verified here.
"""

import asyncio
import json
import logging
import re
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, WatchRunDetailsRequest
from starlette.responses import PlainTextResponse

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.callers import Caller
from tests.integration.agent.proxied import STREAM, TOKEN, UNARY, Opened, opened_proxy
from tests.running import until
from tests.servers.raw_http import connected, head_of

MUTATIONS = 300


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    answer = PlainTextResponse("", headers={"x-answered": "yes"})
    async with opened_proxy(tmp_path, answer) as opened:
        yield opened


def call(path: str, body: bytes, *headers: str) -> bytes:
    return head_of(path, f"content-length: {len(body)}", *headers) + body


def envelope(message: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(message)) + message


def requests(caller: Caller) -> Mapping[str, bytes]:
    run = {"project": caller.run.project, "domain": caller.run.domain, "name": caller.run.name}
    own = GetRunDetailsRequest(run_id=run).SerializeToString()
    watched = envelope(WatchRunDetailsRequest(run_id=run).SerializeToString())
    proto, connect = "content-type: application/proto", "content-type: application/connect+proto"
    ask = json.dumps({"uris": [f"{caller.run_base}/x"]}).encode()
    return {
        "a call": call(UNARY, own, proto, TOKEN),
        "a stream": call(STREAM, watched, connect, TOKEN),
        "a question": call("/copilot/get", ask, TOKEN),
        "a token that is no UTF-8": call(UNARY, own, proto, "authorization: Bearer \xff"),
        "a header that is no UTF-8": call(UNARY, own, proto, TOKEN, "user-agent: \xff\xfe"),
        "an action header that is no UTF-8": call(UNARY, own, proto, TOKEN, "x-actions-a: \xff"),
        "an encoding that is no UTF-8": call(UNARY, own, proto, TOKEN, "content-encoding: \xff"),
        "a content type that is no UTF-8": call(UNARY, own, "content-type: \xff", TOKEN),
        "an RPC that is no UTF-8": call("/flyteidl2.x/%ff\xff", own, proto, TOKEN),
        "a compressed envelope": call(STREAM, envelope(watched, 1), connect, TOKEN),
        "half an envelope": call(STREAM, watched[:3], connect, TOKEN),
        "no protobuf": call(UNARY, b"\xff" * 30, proto, TOKEN),
        "no gzip": call(UNARY, own, proto, TOKEN, "content-encoding: gzip"),
        **{
            f"a question of {body[:30]!r}": call("/copilot/get", body, TOKEN)
            for body in (
                b"",
                b"[]",
                b"\xff",
                b"[" * 100_000,
                b'{"uris": [1]}',
                b'{"uris": ["\\ud800"]}',
                b'{"uris": ["\\u0000", "", "..", "x/../y"]}',
                b'{"\\ud800": 1}',
            )
        },
        "a list below no text": call("/copilot/list", b'{"uri": "\\ud800"}', TOKEN),
        "a size of any length": call(
            "/copilot/put",
            json.dumps({"blobs": [{"uri": f"{caller.output_prefix}/x", "size": 10**400}]}).encode(),
            TOKEN,
        ),
        "a verb that is none": call("/copilot/%ff", b"{}", TOKEN),
        "no HTTP": bytes(100),
        "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a method that is none": b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n",
        "a length that is none": head_of(UNARY, "content-length: x"),
        "two lengths": head_of(UNARY, "content-length: 1", "content-length: 2"),
        "chunks that are none": head_of(UNARY, proto, TOKEN, "transfer-encoding: chunked") + b"z\r\n",
        "a header without a name": head_of(UNARY, ": x"),
        "a long header": head_of(UNARY, f"x-a: {'x' * 40_000}"),
        "many headers": head_of(UNARY, *[f"x-{number}: y" for number in range(200)]),
        "a websocket": head_of(UNARY, "upgrade: websocket", "connection: upgrade"),
    }  # fmt: skip


async def judge(
    opened: Opened, request: bytes, caplog: pytest.LogCaptureFixture, *, within: float = 0.5
) -> bytes:
    """
    Send a request; neither the response nor the log may show a server error.

    ``within``: seconds of silence after which the proxy waits for the rest of a request.
    """
    caplog.clear()
    async with connected(opened.url, trust=opened.trust) as client:
        await client.send(
            request + b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        received = b""
        while True:  # TLS has no half-closed connections: the last answer is followed by the end
            try:
                async with asyncio.timeout(within):
                    part = await client.reader.read(65536)
            except (TimeoutError, ConnectionError):
                break
            if not part:
                break
            received += part
    for status in re.findall(rb"HTTP/1.1 (\d{3}) ", received):
        assert status < b"500" or status == b"501", received
    bugs = [record for record in caplog.records if record.exc_info or record.levelno >= 40]
    assert not bugs, (bugs[0].getMessage(), bugs[0].exc_text or bugs[0].exc_info)
    return received


async def test_proxy_refuses_garbage_as_client_error(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wrong = {}
    for name, request in requests(opened.caller).items():
        try:
            is_complete = name in {"a call", "a stream"}  # then the connection is closed
            received = await judge(opened, request, caplog, within=60 if is_complete else 0.5)
            if is_complete:
                assert b"x-answered: yes" in received.lower()
        except AssertionError as error:
            wrong[name] = str(error)
    assert not wrong


async def test_proxy_mutated_calls_never_cause_server_errors(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chance = Random(8)
    seeds = list(requests(opened.caller).values())[:3]
    for number in range(MUTATIONS):
        request = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            request[chance.randrange(len(request))] = chance.randrange(256)
        # Such as a length that promises more: the next request is not read as its body.
        request += b"\r\n\r\n" * 20
        try:
            await judge(opened, bytes(request), caplog)
        except AssertionError as error:
            raise AssertionError(f"mutation {number}: {bytes(request)!r}") from error


async def test_proxy_times_out_half_sent_requests(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_limits, "HEAD_WITHIN", timedelta(seconds=1))
    async with AsyncExitStack() as clients:
        received = []
        for half in (b"", b"POST", head_of(UNARY, TOKEN)[:-2]):
            client = await clients.enter_async_context(connected(opened.url, trust=opened.trust))
            await client.send(half)
            received.append(client.read_to_end())
        assert all(b" 408 " in each for each in await asyncio.gather(*received))
    await until(lambda: len(opened.api.connections) == 0, "all are closed")


async def test_proxy_refuses_endless_request_head(opened: Opened) -> None:
    async with connected(opened.url, trust=opened.trust) as client:
        taken = await client.send_all(
            [b"POST / HTTP/1.1\r\n", *[b"x-a: " + b"y" * 20_000 + b"\r\n"] * 2_000]
        )
    assert taken < 8 * 1024 * 1024


async def test_proxy_bounds_connections_per_address(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened.api.connections, "_most_per_address", 3)
    async with AsyncExitStack() as clients:
        for _ in range(3):
            await clients.enter_async_context(connected(opened.url, trust=opened.trust))
        with pytest.raises(ConnectionError):  # no handshake for one too many
            async with connected(opened.url, trust=opened.trust):
                pass


async def test_proxy_counts_half_open_handshakes_per_address(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened.api.connections, "_most_per_address", 3)
    plain = opened.url.replace("https", "http")
    async with AsyncExitStack() as clients:
        for _ in range(20):
            await clients.enter_async_context(connected(plain))
        await until(lambda: len(opened.api.connections) == 3, "one address has no more")
        other = await clients.enter_async_context(
            connected(opened.url, source="127.0.0.2", trust=opened.trust)
        )
        await other.send(head_of("/healthz", method="GET"))
        assert (await other.read_answer()).status == 200
    await until(lambda: len(opened.api.connections) == 0, "all are closed")
