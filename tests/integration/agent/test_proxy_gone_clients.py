"""
Tests of the agent's HTTP servers with clients that go away, or that stay when the server stops:
no traceback in the log, and no open connection left behind.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from flyteidl2.workflow.run_service_pb2 import WatchRunDetailsRequest
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from dataplane.agent.main.metrics import MetricsServer
from tests.integration.agent.proxied import STREAM, TOKEN, Opened, opened_proxy
from tests.running import running, until
from tests.servers.raw_http import connected, head_of
from tests.servers.reset import faults, reset

CLIENTS = 20


def envelope(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


MESSAGE = envelope(bytes(64 * 1024))


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer any call by a stream without an end."""

    async def messages() -> AsyncIterator[bytes]:
        while True:
            yield MESSAGE
            await asyncio.sleep(0)  # the event loop sees that a client has gone

    await Request(scope, receive).body()
    answer = StreamingResponse(messages(), media_type="application/connect+proto")
    await answer(scope, receive, send)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened_proxy(tmp_path, endless) as opened:
        yield opened


def watch(opened: Opened) -> bytes:
    run = opened.caller.run
    run_id = {"project": run.project, "domain": run.domain, "name": run.name}
    body = envelope(WatchRunDetailsRequest(run_id=run_id).SerializeToString())
    content = "content-type: application/connect+proto"
    return head_of(STREAM, content, f"content-length: {len(body)}", TOKEN) + body


async def test_proxy_client_that_resets_its_stream_is_no_fault(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(opened.url, trust=opened.trust))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            await client.send(watch(opened))
        for client in clients:
            await client.reader.readexactly(len(MESSAGE))
        for client in clients:
            reset(client.writer)
        await until(lambda: len(opened.api.connections) == 0, "all connections are closed")
    assert opened.api.counts.streams == 0
    assert not faults(caplog.records)


async def test_stopped_proxy_leaves_no_connection_of_clients_that_do_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        async with opened_proxy(tmp_path, endless) as opened:
            for _ in range(CLIENTS):
                client = await stack.enter_async_context(connected(opened.url, trust=opened.trust))
                await client.send(watch(opened))
                await client.reader.readexactly(len(MESSAGE))
            assert opened.api.counts.streams == CLIENTS
        assert len(opened.api.connections) == 0
        assert opened.api.counts.streams == 0
    assert not faults(caplog.records)


async def test_stopped_proxy_leaves_no_connection_whose_client_does_not_end_tls(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        async with opened_proxy(tmp_path, endless) as opened:
            for path in ("/healthz", "/none"):
                client = await stack.enter_async_context(connected(opened.url, trust=opened.trust))
                await client.send(head_of(path, "connection: close", method="GET"))
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await stack.enter_async_context(connected(opened.url, trust=opened.trust))  # idle
            plain = opened.url.replace("https", "http")
            await stack.enter_async_context(connected(plain))  # before its handshake
            await until(lambda: len(opened.api.connections) == 4, "all are connected")
        assert len(opened.api.connections) == 0


async def test_stopped_metrics_port_leaves_no_connection_of_clients_that_do_not_read() -> None:
    server = MetricsServer("127.0.0.1:0", lambda: bytes(64 * 1024 * 1024))
    async with AsyncExitStack() as stack:
        async with running(server):
            await server.started.wait()
            for _ in range(3):
                client = await stack.enter_async_context(
                    connected(f"http://127.0.0.1:{server.port}")
                )
                await client.send(head_of("/metrics", method="GET"))
                await client.reader.readexactly(4096)
        assert len(server.connections) == 0
