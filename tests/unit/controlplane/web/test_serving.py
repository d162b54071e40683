"""The HTTP server stops when its last call has ended, and does not wait for the next look."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from controlplane.web.serving import HttpServer


@asynccontextmanager
async def serving(routes: list[Route]) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """Serve until the block ends, or cancels the task that it is given."""
    server = HttpServer(Starlette(routes=routes), "127.0.0.1", 0, before_stop=lambda: None)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.run())
        yield f"http://127.0.0.1:{server.port}", task
        task.cancel()


async def test_server_without_open_calls_stops_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("answered")

    delays: list[float] = []
    loop = asyncio.get_running_loop()
    async with serving([Route("/", answer)]) as (url, task), httpx.AsyncClient() as client:
        assert (await client.get(url)).text == "answered"  # the connection stays open
        sleep = asyncio.sleep

        async def record(delay: float, result: None = None) -> None:
            delays.append(delay)
            await sleep(delay, result)

        monkeypatch.setattr(asyncio, "sleep", record)
        loop.call_soon(task.cancel)
        await asyncio.wait([task])
    assert sum(delays) < 0.1


async def test_stopping_server_answers_the_calls_that_are_open() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def answer(_request: Request) -> PlainTextResponse:
        arrived.set()
        await release.wait()
        return PlainTextResponse("answered")

    async with serving([Route("/", answer)]) as (url, task), httpx.AsyncClient() as client:
        call = asyncio.ensure_future(client.get(url))  # noqa: TID251 -- awaited below
        await arrived.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        release.set()
        assert (await call).text == "answered"
        await asyncio.wait([task])
