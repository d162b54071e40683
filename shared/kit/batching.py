"""
Group commit: whatever waits is done together.

While one batch of a key is under way the next gathers, so batches grow with the load and
a lone item waits for nobody.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")


class OverfullError(Exception):
    """More waits than may; the caller should come back later."""


class Batcher(Generic[K, T, R]):
    """
    Collect items by key and hand them to ``flush``, one batch of a key at a time.

    ``flush`` returns one result for each item, in order. When it raises, a batch of one
    gets the exception; a larger one is tried again item by item, so that what is wrong
    with one item fails nobody else. Exceptions in ``shared_fate`` (the database is away)
    are given to the whole batch at once.
    """

    def __init__(
        self,
        flush: Callable[[K, Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int,
        most_waiting: int,
        shared_fate: tuple[type[Exception], ...] = (),
    ) -> None:
        self._flush = flush
        self._most = most
        self._most_waiting = most_waiting
        self._shared_fate = shared_fate
        self._lanes: dict[K, deque[tuple[T, asyncio.Future[R]]]] = {}
        self._waiting = 0
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.get_running_loop().create_future()

    async def submit(self, key: K, item: T) -> R:
        """Wait until the item's batch is done; OverfullError when too many wait."""
        if self._tasks is None:
            raise RuntimeError("the batcher is not running")
        if self._waiting >= self._most_waiting:
            raise OverfullError(f"{self._waiting} items wait already")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
            self._tasks.create_task(self._serve(key, lane), name="batch-lane")
        lane.append((item, future))
        self._waiting += 1
        return await future

    async def _serve(self, key: K, lane: deque[tuple[T, asyncio.Future[R]]]) -> None:
        while lane:
            batch = [lane.popleft() for _ in range(min(len(lane), self._most))]
            self._waiting -= len(batch)
            await self._finish(key, batch)
        del self._lanes[key]

    async def _finish(self, key: K, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush(key, [item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the submitters'
            if len(batch) == 1 or isinstance(error, self._shared_fate):
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                return
            for each in batch:
                await self._finish(key, [each])
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
