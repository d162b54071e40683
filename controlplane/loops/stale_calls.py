"""Deletes forwarded calls whose callers have crashed: replicas that were killed."""

from datetime import timedelta

from controlplane.core.forwarded_calls import STALE_AFTER
from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.notify.forwarded_calls import forget
from shared.kit.clock import Clock


class StaleCallReaper:
    """Loop that deletes forwarded calls not polled for ``STALE_AFTER``."""

    def __init__(self, database: Database, clock: Clock, *, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await run_periodically("stale calls", self.run_once, every=self._every, clock=self._clock)

    async def run_once(self) -> int:
        """Delete stale calls; return how many. Safe on every replica at once."""
        async with self._database.for_fleet("delete stale calls") as tx:
            return await forget(tx, self._clock.now() - STALE_AFTER)
