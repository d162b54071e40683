"""Wakeups coalesce, and none is lost."""

import asyncio
from datetime import timedelta

from shared.kit.wakeup import Wakeup

FOR_EVER = timedelta(hours=1)
NOT_AT_ALL = timedelta(0)


async def test_wakeup_before_the_wait_is_not_lost() -> None:
    wakeup = Wakeup()
    wakeup.wake()
    async with asyncio.timeout(60):
        await wakeup.wait(FOR_EVER)


async def test_wakeups_coalesce() -> None:
    wakeup = Wakeup()
    wakeup.wake()
    wakeup.wake()
    async with asyncio.timeout(60):
        assert await wakeup.wait(FOR_EVER)
        assert not await wakeup.wait(NOT_AT_ALL)


async def test_wakeup_survives_a_cancelled_wait() -> None:
    wakeup = Wakeup()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wakeup.wait(FOR_EVER))
        await asyncio.sleep(0)
        wakeup.wake()
        waiting.cancel()
    async with asyncio.timeout(60):
        await wakeup.wait(FOR_EVER)


async def test_wakeup_wait_times_out() -> None:
    async with asyncio.timeout(60):
        assert not await Wakeup().wait(timedelta(milliseconds=1))
