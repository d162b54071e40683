"""Streams of answers: closed at the end of their block, and never silent for long."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing came for an interval."""


PAUSE = Pause()


@dataclass(frozen=True, slots=True)
class _Item(Generic[Item]):
    value: Item


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None


@asynccontextmanager
async def closing(stream: AsyncIterator[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """Close ``stream`` at the end of the block, so that it unsubscribes at once."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


async def with_pauses(
    stream: AsyncIterator[Item], interval: timedelta
) -> AsyncGenerator[Item | Pause, None]:
    """
    Yield the items of ``stream``, and PAUSE each time that none came for ``interval``.

    A task of its own reads the stream, at most one item ahead: a timeout around its next item
    would end it.
    """
    received: asyncio.Queue[_Item[Item] | _End] = asyncio.Queue(maxsize=1)

    async def read() -> None:
        error: Exception | None = None
        try:
            async with closing(stream):
                async for item in stream:
                    await received.put(_Item(item))
        except Exception as raised:  # noqa: BLE001 - raised again below
            error = raised
        await received.put(_End(error))

    error: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(), name="api-stream-reader")
        try:
            while True:
                try:
                    async with asyncio.timeout(interval.total_seconds()):
                        found = await received.get()
                except TimeoutError:
                    yield PAUSE
                    continue
                if isinstance(found, _End):
                    error = found.error
                    break
                yield found.value
        except GeneratorExit:
            pass  # closed by its reader; the group would wrap it
        finally:
            reading.cancel()
    if error is not None:
        raise error
