"""Tests of the agent's metrics port: answers scrapers, within the bounds of the API proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from dataplane.agent.main.metrics import MetricsServer
from dataplane.agent.proxy import proxy_limits
from tests.running import running, until
from tests.servers.raw_http import connected

SCRAPE = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@pytest.fixture
async def server() -> AsyncIterator[MetricsServer]:
    made = MetricsServer("127.0.0.1:0", lambda: b"volary_agent_leads 1.0\n")
    async with running(made):
        await made.started.wait()
        yield made


def url(server: MetricsServer) -> str:
    return f"http://127.0.0.1:{server.port}"


async def test_metrics_port_answers_a_scrape(server: MetricsServer) -> None:
    async with connected(url(server)) as client:
        await client.send(SCRAPE)
        answer = await client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"volary_agent_leads 1.0\n")


async def test_metrics_port_times_out_half_sent_requests(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_limits, "HEAD_WITHIN", timedelta(seconds=1))
    async with AsyncExitStack() as clients:
        received = []
        for half in (b"", b"GET", SCRAPE[:-2]):
            client = await clients.enter_async_context(connected(url(server)))
            await client.send(half)
            received.append(client.read_to_end())
        assert all(b" 408 " in each for each in await asyncio.gather(*received))
    await until(lambda: len(server.connections) == 0, "all are closed")


async def test_metrics_port_refuses_endless_request_head(server: MetricsServer) -> None:
    async with connected(url(server)) as client:
        taken = await client.send_all(
            [b"GET /metrics HTTP/1.1\r\n", *[b"x-a: " + b"y" * 20_000 + b"\r\n"] * 2_000]
        )
    assert taken < 8 * 1024 * 1024


async def test_metrics_port_bounds_connections_per_address(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.connections, "_most_per_address", 3)
    async with AsyncExitStack() as clients:
        for _ in range(3):
            await clients.enter_async_context(connected(url(server)))
        async with connected(url(server)) as one_more:
            assert b" 503 " in await one_more.read_to_end()
