"""The batcher flushes waiting items together, isolates a bad item, and completes every submit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.kit.batching import Batcher, OverfullError, StoppedError
from tests.running import running

Flush = Callable[[str, Sequence[int]], Awaitable[Sequence[int]]]


class PoisonedError(Exception):
    pass


class AwayError(Exception):
    pass


class Kitchen:
    """Doubles numbers; batches wait at ``gate``, and poison is what ``poison`` holds."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison: set[int] = set()
        self.away = False

    async def flush(self, key: str, items: Sequence[int]) -> Sequence[int]:
        self.batches.append((key, list(items)))
        self.begun.put_nowait(key)
        await self.gate.wait()
        if self.away:
            raise AwayError
        if self.poison & set(items):
            raise PoisonedError
        return [2 * item for item in items]


@asynccontextmanager
async def batching(
    kitchen: Kitchen, *, most: int = 100, most_waiting: int = 100
) -> AsyncIterator[Batcher[str, int, int]]:
    batcher: Batcher[str, int, int] = Batcher(
        kitchen.flush, most=most, most_waiting=most_waiting, shared_fate=(AwayError,)
    )
    async with running(batcher):
        await asyncio.sleep(0)  # let it begin to run
        yield batcher


async def submit_all(
    batcher: Batcher[str, int, int], items: Sequence[int], key: str = "k"
) -> Sequence[int | BaseException]:
    return await asyncio.gather(
        *(batcher.submit(key, item) for item in items), return_exceptions=True
    )


async def test_batch_returns_each_item_its_result() -> None:
    kitchen = Kitchen()
    async with batching(kitchen) as batcher:
        assert await submit_all(batcher, range(10)) == [2 * item for item in range(10)]
    assert kitchen.batches == [("k", list(range(10)))]


async def test_batch_collects_items_while_another_is_in_flight() -> None:
    kitchen = Kitchen()
    kitchen.gate.clear()
    async with batching(kitchen, most=3) as batcher, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(batcher.submit("k", 0))
        await kitchen.begun.get()
        rest = tasks.create_task(submit_all(batcher, [1, 2, 3, 4]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        kitchen.gate.set()
        assert await first == 0
        assert await rest == [2, 4, 6, 8]
    assert [items for _, items in kitchen.batches] == [[0], [1, 2, 3], [4]]


async def test_batch_keys_are_independent() -> None:
    kitchen = Kitchen()
    kitchen.gate.clear()
    async with batching(kitchen) as batcher, asyncio.TaskGroup() as tasks:
        results = [tasks.create_task(batcher.submit(key, 1)) for key in ("a", "b")]
        assert {await kitchen.begun.get(), await kitchen.begun.get()} == {"a", "b"}
        kitchen.gate.set()
        assert [await result for result in results] == [2, 2]


@pytest.mark.parametrize("poison", [{0}, {7}, {3, 4}, set(range(8))], ids=str)
async def test_batch_poison_item_fails_alone(poison: set[int]) -> None:
    kitchen = Kitchen()
    kitchen.poison = poison
    async with batching(kitchen) as batcher:
        results = await submit_all(batcher, range(8))
    for item, result in enumerate(results):
        if item in poison:
            assert isinstance(result, PoisonedError)
        else:
            assert result == 2 * item


async def test_batch_poison_item_is_isolated_in_few_flushes() -> None:
    kitchen = Kitchen()
    kitchen.poison = {137}
    async with batching(kitchen, most=500, most_waiting=500) as batcher:
        results = await submit_all(batcher, range(500))
    assert sum(isinstance(result, PoisonedError) for result in results) == 1
    assert len(kitchen.batches) < 25


async def test_batch_shared_failure_reaches_all_items() -> None:
    kitchen = Kitchen()
    kitchen.away = True
    async with batching(kitchen) as batcher:
        results = await submit_all(batcher, range(5))
    assert [type(result) for result in results] == [AwayError] * 5
    assert len(kitchen.batches) == 1


async def test_batch_drops_item_cancelled_while_waiting() -> None:
    kitchen = Kitchen()
    kitchen.gate.clear()
    async with batching(kitchen) as batcher, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(batcher.submit("k", 0))
        await kitchen.begun.get()
        gone = tasks.create_task(batcher.submit("k", 1))
        stays = tasks.create_task(batcher.submit("k", 2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        kitchen.gate.set()
        assert [await first, await stays] == [0, 4]
    assert [items for _, items in kitchen.batches] == [[0], [2]]


async def test_batch_item_cancelled_in_flight_does_not_affect_others() -> None:
    kitchen = Kitchen()
    kitchen.gate.clear()
    async with batching(kitchen) as batcher, asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(batcher.submit("k", item)) for item in (1, 2)]
        await kitchen.begun.get()
        both[0].cancel()
        await asyncio.sleep(0)
        kitchen.gate.set()
        assert await both[1] == 4
        assert await batcher.submit("k", 3) == 6


async def test_batch_full_queue_rejects_only_its_key() -> None:
    kitchen = Kitchen()
    kitchen.gate.clear()
    async with batching(kitchen, most_waiting=2) as batcher, asyncio.TaskGroup() as tasks:
        taken = [tasks.create_task(batcher.submit("full", 0))]
        await kitchen.begun.get()
        taken += [tasks.create_task(batcher.submit("full", item)) for item in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(OverfullError):
            await batcher.submit("full", 3)
        other = tasks.create_task(batcher.submit("empty", 4))
        assert await kitchen.begun.get() == "empty"
        kitchen.gate.set()
        assert await other == 8
        assert [await each for each in taken] == [0, 2, 4]


async def test_batcher_stop_fails_waiting_items() -> None:
    kitchen = Kitchen()
    kitchen.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        async with batching(kitchen, most=1) as batcher:
            waiting = tasks.create_task(submit_all(batcher, [1, 2]))
            await kitchen.begun.get()
        assert [type(result) for result in await waiting] == [StoppedError, StoppedError]
        with pytest.raises(StoppedError):
            await batcher.submit("k", 3)


async def test_batcher_not_running_rejects_items() -> None:
    batcher: Batcher[str, int, int] = Batcher(Kitchen().flush, most=1, most_waiting=1)
    with pytest.raises(StoppedError):
        await batcher.submit("k", 1)


async def test_batch_flush_with_too_few_results_fails_the_items() -> None:
    async def flush(_: str, __: Sequence[int]) -> Sequence[int]:
        return []

    batcher: Batcher[str, int, int] = Batcher(flush, most=10, most_waiting=10)

    async def run_and_submit() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(batcher.run())
            await asyncio.sleep(0)
            await batcher.submit("k", 1)

    with pytest.raises(ExceptionGroup) as raised:
        await run_and_submit()
    assert raised.group_contains(ValueError)
