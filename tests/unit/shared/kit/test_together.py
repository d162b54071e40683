"""Doing things together: what comes meanwhile is done at once, whoever leads and leaves."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.kit.together import Together


class Work:
    """Doubles numbers when it is let, and notes what it was given."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self.begins = asyncio.Event()
        self.may_end = asyncio.Event()
        self.error: Exception | None = None
        self.together: Together[str, int, int] = Together(self._do, most=3)

    async def _do(self, key: str, items: Sequence[int]) -> Sequence[int]:
        assert key == "a"
        self.begun.append(list(items))
        self.begins.set()
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return [2 * item for item in items]


async def test_what_comes_meanwhile_is_done_together_and_not_without_bound() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        joined = [tasks.create_task(work.together.join("a", 0))]
        await work.begins.wait()
        joined += [tasks.create_task(work.together.join("a", number)) for number in range(1, 6)]
        await asyncio.sleep(0)
        work.may_end.set()
    assert work.begun == [[0], [1, 2, 3], [4, 5]]
    assert [task.result() for task in joined] == [0, 2, 4, 6, 8, 10]


async def test_who_leads_and_leaves_takes_nobody_along() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(work.together.join("a", 1))
        await work.begins.wait()
        second = tasks.create_task(work.together.join("a", 2))
        third = tasks.create_task(work.together.join("a", 3))
        await asyncio.sleep(0)
        leader.cancel()
        second.cancel()
        work.may_end.set()
    assert work.begun == [[1], [3]]
    assert third.result() == 6


async def test_a_leader_that_leaves_is_followed_by_those_it_led() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(work.together.join("a", 0))
        await work.begins.wait()
        leader = tasks.create_task(work.together.join("a", 1))
        led = tasks.create_task(work.together.join("a", 2))
        await asyncio.sleep(0)
        work.begins.clear()
        work.may_end.set()
        await work.begins.wait()
        leader.cancel()
    assert (first.result(), led.result()) == (0, 4)


async def test_what_fails_has_failed_for_all_who_were_in_it() -> None:
    work = Work()
    work.error = RuntimeError("no")
    work.may_end.set()
    results = await asyncio.gather(
        *(work.together.join("a", number) for number in range(3)), return_exceptions=True
    )
    assert all(isinstance(result, RuntimeError) for result in results)
    work.error = None
    assert await work.together.join("a", 4) == 8


@pytest.mark.parametrize("number", [1, 7])
async def test_a_lone_one_waits_for_nobody(number: int) -> None:
    work = Work()
    work.may_end.set()
    assert await work.together.join("a", number) == 2 * number
