"""Counts a client's round trips to Postgres with a proxy between the two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.servers.tcp import serving

_WAITED_FOR = frozenset({b"S", b"H", b"Q"})  # Sync, Flush, simple Query: then the client waits


@dataclass(slots=True)
class RoundTrips:
    url: str
    count: int = 0


@asynccontextmanager
async def counting(host: str, port: int, url: str) -> AsyncIterator[RoundTrips]:
    """Run a proxy to ``host:port`` for a block; ``url`` has no host and port."""
    made = RoundTrips(url)

    async def serve(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        upstream, requests = await asyncio.open_connection(host, port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_copy(upstream, answers))
            try:
                await _forward(client, requests, made)
            finally:
                requests.close()

    async with serving(serve) as (here, found):
        made.url = url.replace(f"{host}:{port}", f"{here}:{found}")
        yield made


async def _forward(
    client: asyncio.StreamReader, requests: asyncio.StreamWriter, made: RoundTrips
) -> None:
    """Forward the client's messages, and count those after which it waits for an answer."""
    is_startup = True  # the start-up message has no type byte
    try:
        while True:
            kind = b"" if is_startup else await client.readexactly(1)
            size = await client.readexactly(4)
            body = await client.readexactly(int.from_bytes(size) - 4)
            if is_startup:
                is_startup = len(body) == 4 and int.from_bytes(body) == 80877103  # SSLRequest
            elif kind in _WAITED_FOR:
                made.count += 1
            requests.write(kind + size + body)
            await requests.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()
