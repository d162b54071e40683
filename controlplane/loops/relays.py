"""Deletes calls whose callers have gone without a word: replicas that were killed."""

from datetime import timedelta

from controlplane.core.relays import FORGOTTEN_AFTER
from controlplane.loops.pacing import come_round
from controlplane.store.database import Database
from controlplane.store.relays import forget
from shared.kit.clock import Clock


class ForgottenRelays:
    def __init__(self, database: Database, clock: Clock, *, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await come_round("forgotten relays", self.run_once, every=self._every, clock=self._clock)

    async def run_once(self) -> int:
        """Delete them; returns how many. Safe on every replica at once."""
        async with self._database.for_fleet("delete what nobody waits for") as tx:
            return await forget(tx, self._clock.now() - FORGOTTEN_AFTER)
