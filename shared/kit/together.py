"""
Doing together what many wait for, without a task that does it.

Whoever comes first does it for all who came meanwhile. Compared with ``batching`` there is
nothing to run, and what fails has failed for everybody who was in it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Group(Generic[T, R]):
    """Those who wait under one key, in the order in which they get their turn."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: "list[tuple[T, asyncio.Future[R]]]" = field(default_factory=list)


class Together(Generic[K, T, R]):
    """``do`` is given a key and the items that wait, and returns one result for each."""

    def __init__(
        self, do: Callable[[K, Sequence[T]], Awaitable[Sequence[R]]], *, most: int
    ) -> None:
        self._do = do
        self._most = most
        self._groups: dict[K, _Group[T, R]] = {}

    async def join(self, key: K, item: T) -> R:
        """Have it done with the others; raises what ``do`` raised."""
        group = self._groups.setdefault(key, _Group())
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        group.waiting.append((item, future))
        try:
            async with group.turn:
                if not future.done():
                    await self._lead(key, group)
            return await future
        finally:
            future.cancel()  # no effect on one that is done
            if not group.turn.locked() and not group.waiting:
                self._groups.pop(key, None)

    async def _lead(self, key: K, group: _Group[T, R]) -> None:
        wanted = [each for each in group.waiting if not each[1].done()]
        batch, group.waiting = wanted[: self._most], wanted[self._most :]
        try:
            results = await self._do(key, [item for item, _ in batch])
        except asyncio.CancelledError:
            group.waiting[:0] = batch  # it is only we who leave
            raise
        except Exception as error:  # noqa: BLE001 -- it is theirs, who all raise it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
