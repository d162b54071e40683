"""Deletes entries of the result cache that no action has used for long."""

from datetime import timedelta

from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.unused_entries import delete_unused_entries
from shared.kit.clock import Clock


class UnusedCacheEntries:
    """Loop that deletes entries unused for ``keep``, in pages, each in a transaction of its own."""

    def __init__(
        self, database: Database, clock: Clock, *, keep: timedelta, every: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._every = every

    async def run(self) -> None:
        await run_periodically(
            "unused cache entries", self.run_once, every=self._every, clock=self._clock
        )

    async def run_once(self) -> int:
        """Delete all unused entries; return how many. Safe on every replica at once."""
        before, deleted = self._clock.now() - self._keep, 0
        while True:
            async with self._database.for_fleet("delete unused cache entries") as tx:
                page = await delete_unused_entries(tx, before)
            deleted += page
            if not page:
                return deleted
