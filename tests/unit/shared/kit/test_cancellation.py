"""A cancellation that coincides with a failure in a task group is not lost."""

import asyncio

import pytest

from shared.kit.cancellation import check_cancellation


async def fail() -> None:
    raise ConnectionError("the other side is gone")


async def test_cancellation_during_task_group_failure_stops_the_loop() -> None:
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


async def test_cancellation_check_without_cancel_does_nothing() -> None:
    check_cancellation()


async def test_cancellation_check_raises_once() -> None:
    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        check_cancellation()

    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.gather(cancelled())
