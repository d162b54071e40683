"""
Tests of the HTTP port with clients that go away, or that stay when the server stops: no traceback
in the log, and no open connection left behind.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controlplane.oauth.requests import read_form
from controlplane.web import serving
from controlplane.web.app import make_application
from controlplane.web.origins import OriginCheck
from controlplane.web.serving import HttpServer
from tests.integration.network.served import Served, put_blob, serve
from tests.running import running, until
from tests.servers.http2_client import http2_connected
from tests.servers.raw_http import connected, head_of
from tests.servers.reset import faults, reset

CREATE_RUN = "/flyteidl2.workflow.RunService/CreateRun"
WATCH = "/flyteidl2.workflow.RunService/WatchRuns"
PATHS = {
    CREATE_RUN: ["content-type: application/proto"],
    WATCH: ["content-type: application/connect+proto"],
    "/volary.platform.v1.ClusterService/ListClusters": ["content-type: application/json"],
    "/api/v1/projects": ["content-type: application/json"],
    "/callbacks/x": ["content-type: application/json"],
    "/none": [],
}
CLIENTS = 5


@pytest.mark.parametrize("path", PATHS)
async def test_client_that_resets_its_request_is_no_fault(
    served: Served, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = head_of(path, *PATHS[path], "content-length: 1000")
    async with AsyncExitStack() as stack:
        for body in (b"", b"{", bytes(1000)):
            client = await stack.enter_async_context(
                connected(served.api.url, trust=served.files.trust())
            )
            await client.send(request + body)
            reset(client.writer)
        await until(lambda: len(served.api.connections) == 0, "all connections are closed")
    assert not faults(caplog.records)


@pytest.mark.parametrize("path", PATHS)
async def test_client_that_resets_its_http2_request_is_no_fault(
    served: Served, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields = [(name, value) for name, _, value in (each.partition(": ") for each in PATHS[path])]
    async with http2_connected(served.api.url, served.files.trust()) as client:
        for _ in range(CLIENTS):
            stream = await client.request(path, *fields, method="POST", ends=False)
            client.h2.send_data(stream, b"{")
            await client.flush()
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
            await client.flush()
        assert (await client.read_answer(await client.request("/healthz"))).status == 200
    await until(lambda: len(served.api.connections) == 0, "the connection is closed")
    assert not faults(caplog.records)


async def test_client_that_resets_its_form_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def receive(request: Request) -> Response:
        begun.set()
        try:
            await read_form(request)
        finally:
            ended.set()
        return PlainTextResponse("")

    application = make_application(
        public=PlainTextResponse(""),
        routes=[Route("/oauth2/token", receive, methods=["POST"])],
        origin_check=OriginCheck("http://localhost"),
    )
    server = HttpServer(application, "127.0.0.1", 0, before_stop=lambda: None)
    head = head_of(
        "/oauth2/token", "content-type: application/x-www-form-urlencoded", "content-length: 100"
    )
    async with running(server), connected(f"http://127.0.0.1:{server.port}") as client:
        await client.send(head + b"grant_type=")
        await begun.wait()
        reset(client.writer)
        await ended.wait()
        await until(lambda: len(server.connections) == 0, "the connection is closed")
    assert not faults(caplog.records)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_stopped_server_leaves_no_connection_of_clients_that_do_not_read(
    database_url: str,
    tmp_path: Path,
    version: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "STOP_SECONDS", 0.5)
    async with AsyncExitStack() as clients:
        async with serve(database_url, tmp_path) as served:
            link = await put_blob(served, "large", bytes(16 * 1024 * 1024))
            for _ in range(CLIENTS):
                if version == "HTTP/2":
                    opened = http2_connected(
                        served.api.url, served.files.trust(), acknowledges=False
                    )
                    await (await clients.enter_async_context(opened)).request(link)
                else:
                    raw = await clients.enter_async_context(
                        connected(served.api.url, trust=served.files.trust())
                    )
                    await raw.send(head_of(link, method="GET"))
                    await raw.reader.readexactly(4096)
            connections = served.api.connections
            await until(lambda: len(connections) == CLIENTS, "all are connected")
        assert len(connections) == 0
    assert not faults(caplog.records)


async def test_stopped_server_leaves_no_connection_whose_client_does_not_end_tls(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "STOP_SECONDS", 0.5)
    async with AsyncExitStack() as clients:
        async with serve(database_url, tmp_path) as served:
            trust, connections = served.files.trust(), served.api.connections
            for _ in range(CLIENTS):
                client = await clients.enter_async_context(connected(served.api.url, trust=trust))
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await client.send(head_of("/healthz", "connection: close", method="GET"))
            idle = await clients.enter_async_context(http2_connected(served.api.url, trust))
            await idle.read_answer(await idle.request("/healthz"))
            await until(lambda: len(connections) == CLIENTS + 1, "all are connected")
        assert len(connections) == 0
