"""
Group commit: whatever waits is done together.

While one batch of a key is under way the next gathers, so batches grow with the load and
a lone item waits for nobody.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")


class OverfullError(Exception):
    """More waits than may; the caller should come back later."""


class StoppedError(Exception):
    """The batcher stopped before the item was done; whether it was is not known."""


@dataclass(slots=True)
class _KeyQueue(Generic[T, R]):
    """What waits under one key, and what is under way."""

    waiting: deque[tuple[T, asyncio.Future[R]]] = field(default_factory=deque)
    under_way: Sequence[tuple[T, asyncio.Future[R]]] = ()


class Batcher(Generic[K, T, R]):
    """
    Collect items by key and hand them to ``flush``, one batch of a key at a time.

    ``flush`` returns one result for each item, in order. When it raises, a batch of one
    gets the exception; a larger one is tried again in halves, so that what is wrong with
    one item fails nobody else. Exceptions in ``shared_fate`` (the database is away) are
    given to the whole batch at once. An item whose submitter has gone is dropped, unless
    it is under way. ``most_waiting`` is for each key: a full lane is nobody else's trouble.
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
        self._queues: dict[K, _KeyQueue[T, R]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def __contains__(self, key: K) -> bool:
        """Whether something of this key waits or is under way."""
        return key in self._queues

    async def run(self) -> None:
        """Serve until cancelled; whoever still waits then gets StoppedError."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None
            for key_queue in self._queues.values():
                for _, future in (*key_queue.under_way, *key_queue.waiting):
                    if not future.done():
                        future.set_exception(StoppedError("stopped before this was done"))
            self._queues.clear()

    async def submit(self, key: K, item: T) -> R:
        """Wait until the item's batch is done; OverfullError when too many wait."""
        if self._tasks is None:
            raise StoppedError("the batcher is not running")
        key_queue = self._queues.get(key)
        if key_queue is None:
            key_queue = self._queues[key] = _KeyQueue()
            self._tasks.create_task(self._serve(key, key_queue), name="batch-lane")
        elif len(key_queue.waiting) >= self._most_waiting:
            raise OverfullError(f"{len(key_queue.waiting)} items wait already")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        key_queue.waiting.append((item, future))
        return await future

    async def _serve(self, key: K, key_queue: _KeyQueue[T, R]) -> None:
        while batch := self._take(key_queue):
            key_queue.under_way = batch
            await self._finish(key, batch)
        del self._queues[key]

    def _take(self, key_queue: _KeyQueue[T, R]) -> Sequence[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while key_queue.waiting and len(batch) < self._most:
            item, future = key_queue.waiting.popleft()
            if not future.done():  # else its submitter hung up
                batch.append((item, future))
        return batch

    async def _finish(self, key: K, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush(key, [item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the submitters'
            if len(batch) > 1 and not isinstance(error, self._shared_fate):
                half = len(batch) // 2
                await self._finish(key, batch[:half])
                await self._finish(key, batch[half:])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
