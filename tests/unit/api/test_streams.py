"""Streams that are read beside a timer."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

import pytest

from controlplane.api.streams import PAUSE, with_pauses
from controlplane.core.errors import NotFoundError

LONG = timedelta(minutes=1)
SHORT = timedelta(milliseconds=1)


async def test_items_of_a_stream_come_in_order_and_end_it() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        for number in range(100):
            yield number

    assert [each async for each in with_pauses(numbers(), LONG)] == list(range(100))


async def test_pause_is_told_while_a_stream_is_silent_and_no_item_is_lost() -> None:
    go_on = asyncio.Event()

    async def silent() -> AsyncGenerator[int, None]:
        yield 1
        await go_on.wait()
        yield 2

    seen: list[object] = []
    async for each in with_pauses(silent(), SHORT):
        seen.append(each)
        if seen.count(PAUSE) == 3:
            go_on.set()

    assert [each for each in seen if each is not PAUSE] == [1, 2]
    assert seen.count(PAUSE) >= 3


async def test_error_of_a_stream_is_raised_as_it_is() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise NotFoundError("log", "x")

    items = with_pauses(failing(), LONG)

    assert await anext(items) == 1
    with pytest.raises(NotFoundError):
        await anext(items)


async def test_reader_that_leaves_closes_the_stream() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async with aclosing(with_pauses(endless(), LONG)) as items:
        assert await anext(items) == 1

    assert closed.is_set()


async def test_cancelled_reader_closes_the_stream() -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def silent() -> AsyncGenerator[int, None]:
        try:
            started.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            closed.set()

    async def read() -> None:
        async with aclosing(with_pauses(silent(), LONG)) as items:
            await anext(items)

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await started.wait()
        reading.cancel()

    assert reading.cancelled()
    assert closed.is_set()
