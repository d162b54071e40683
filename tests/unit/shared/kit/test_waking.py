"""We test that a bell is heard once however often it rings, and that no ring is lost."""

import asyncio
from datetime import timedelta

from shared.kit.waking import Bell

FOR_EVER = timedelta(hours=1)
NOT_AT_ALL = timedelta(0)


async def test_a_ring_before_the_wait_is_heard() -> None:
    bell = Bell()
    bell.ring()
    async with asyncio.timeout(60):
        await bell.wait(FOR_EVER)


async def test_many_rings_are_heard_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    async with asyncio.timeout(60):
        assert await bell.wait(FOR_EVER)
        assert not await bell.wait(NOT_AT_ALL)


async def test_a_wait_that_is_cancelled_takes_no_ring_along() -> None:
    bell = Bell()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(bell.wait(FOR_EVER))
        await asyncio.sleep(0)
        bell.ring()
        waiting.cancel()
    async with asyncio.timeout(60):
        await bell.wait(FOR_EVER)


async def test_a_bell_that_never_rings_wakes_in_time() -> None:
    async with asyncio.timeout(60):
        assert not await Bell().wait(timedelta(milliseconds=1))
