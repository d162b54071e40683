"""A cancellation that coincides with a failure in a task group is not lost."""

import asyncio

import pytest

from shared.kit.cancellation import check_cancellation


async def fail() -> None:
    raise ConnectionError("the other side is gone")


async def test_a_loop_that_survives_failures_stops_when_cancelled_during_one() -> None:
    passes = 0

    async def loop() -> None:
        nonlocal passes
        while True:
            passes += 1
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
                    asyncio.get_running_loop().call_soon(task.cancel)  # at the same moment
                    await asyncio.Event().wait()
            except* ConnectionError:
                pass
            check_cancellation()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(loop())
    assert passes == 1
    assert task.cancelled()


async def test_a_task_that_nobody_cancelled_goes_on() -> None:
    check_cancellation()


async def test_it_is_heard_once_and_then_the_task_is_over() -> None:
    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        check_cancellation()

    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.gather(cancelled())
