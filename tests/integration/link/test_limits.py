"""Limits of one client on the link port: connections, handshake time, metadata."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import grpc
import grpc.aio
import pytest

from controlplane.core.link_timings import LinkTimings
from controlplane.link.connection_limits import LinkLimits
from tests.integration.link.conftest import LinkUnderTest, calling, serving
from tests.integration.store.conftest import Store
from tests.running import until

LIMITS = LinkLimits(handshake_within=timedelta(seconds=1))


@pytest.fixture
async def limited(store: Store, database_url: str) -> AsyncIterator[LinkUnderTest]:
    async with serving(store, database_url, LinkTimings(), limits=LIMITS) as link:
        yield link


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_connections_above_their_number_are_closed(store: Store, database_url: str) -> None:
    limits = LinkLimits(connections=6)
    async with serving(store, database_url, LinkTimings(), limits=limits) as link:
        async with calling(link) as agent:
            await agent.open()
            async with AsyncExitStack() as sockets, asyncio.TaskGroup() as tasks:
                reading = []
                for _ in range(2 * limits.connections):
                    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
                    sockets.callback(writer.close)
                    reading.append(tasks.create_task(read_to_end(reader)))
                # The agent has one of the six. Nobody's time to begin is over by then.
                most = limits.connections + 1
                await until(
                    lambda: sum(each.done() for each in reading) >= most,
                    "they are closed",
                    at_most=limits.handshake_within.total_seconds() / 2,
                )
                for each in reading:
                    each.cancel()
            await agent.be_heard()  # a session that is open is not harmed
        async with calling(link) as agent:
            await agent.open()


async def test_idle_connection_is_closed(limited: LinkUnderTest) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", limited.port)
    await read_to_end(reader)
    writer.transport.abort()


async def test_call_with_too_much_metadata_is_refused(limited: LinkUnderTest) -> None:
    async with calling(limited, token="x" * LIMITS.metadata_bytes) as agent:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await agent.call.read()
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"{LIMITS.metadata_bytes}" in str(raised.value.details())
