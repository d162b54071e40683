"""Counts the waiting and assigned actions of all queues once a minute, for their history."""

from datetime import timedelta

from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.queue_samples import (
    be_alone,
    forget_samples,
    is_sampled,
    take_samples,
)
from shared.kit.clock import Clock


class QueueSampler:
    """Loop that counts; ``keep`` is the retention. One replica counts each minute."""

    def __init__(
        self, database: Database, clock: Clock, *, keep: timedelta, every: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._every = every

    async def run(self) -> None:
        await run_periodically("queue samples", self._pass, every=self._every, clock=self._clock)

    async def _pass(self) -> None:
        await self.run_once()  # no result: each pass counts something, and would log a line

    async def run_once(self) -> int:
        """Count this minute's work, unless it was; return of how many queues. Safe on every replica."""
        now = self._clock.now()
        minute = now.replace(second=0, microsecond=0)
        async with self._database.for_fleet("count the work of queues") as tx:
            if not await be_alone(tx) or await is_sampled(tx, minute):
                return 0
            taken = await take_samples(tx, minute, now)
            await forget_samples(tx, now - self._keep)
        return taken
