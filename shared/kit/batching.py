"""
Group commit: flushes the items that queued up under a key as one batch.

While one batch of a key is in flight the next one fills, so batches grow with the load and
a lone item is flushed at once.
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
    """The queue of this key is full; the caller should retry later."""


class StoppedError(Exception):
    """The batcher stopped before the result arrived; the item may or may not have been flushed."""


@dataclass(slots=True)
class _KeyQueue(Generic[T, R]):
    """Items of one key: those waiting, and the batch in flight."""

    waiting: deque[tuple[T, asyncio.Future[R]]] = field(default_factory=deque)
    under_way: Sequence[tuple[T, asyncio.Future[R]]] = ()


class Batcher(Generic[K, T, R]):
    """
    Collects items by key and passes them to ``flush``, one batch of a key at a time.

    ``flush`` returns one result for each item, in order. When it raises, a batch of one
    gets the exception; a larger one is retried in halves, so that a bad item fails alone.
    Exceptions in ``shared_fate`` (the database is unreachable) are given to the whole batch
    at once. An item whose submitter was cancelled is dropped, unless it is in flight.
    ``most_waiting`` limits each key's queue: a full one does not affect other keys.
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
        """Whether items of this key are waiting or in flight."""
        return key in self._queues

    async def run(self) -> None:
        """Flush batches until cancelled; submitters that still wait then get StoppedError."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None
            for key_queue in self._queues.values():
                for _, future in (*key_queue.under_way, *key_queue.waiting):
                    if not future.done():
                        future.set_exception(
                            StoppedError("the batcher stopped before the item was flushed")
                        )
            self._queues.clear()

    async def submit(self, key: K, item: T) -> R:
        """Return the item's result once its batch is flushed; OverfullError if the queue is full."""
        if self._tasks is None:
            raise StoppedError("the batcher is not running")
        key_queue = self._queues.get(key)
        if key_queue is None:
            key_queue = self._queues[key] = _KeyQueue()
            self._tasks.create_task(self._serve(key, key_queue), name="batch-queue")
        elif len(key_queue.waiting) >= self._most_waiting:
            raise OverfullError(f"the queue is full: {len(key_queue.waiting)} items are waiting")
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
            if not future.done():  # else its submitter was cancelled
                batch.append((item, future))
        return batch

    async def _finish(self, key: K, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush(key, [item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # passed on to the submitters
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
