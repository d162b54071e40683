"""Ends what nobody has patience with any more: conditions, and tasks with a timeout."""

from datetime import timedelta

from controlplane.loops.pacing import come_round, isolated
from controlplane.store.database import Database
from controlplane.store.timeouts import list_due, time_out
from shared.kit.clock import Clock

_AT_ONCE = 500


class Timeouts:
    def __init__(self, database: Database, clock: Clock, *, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await come_round("timeouts", self.run_once, every=self._every, clock=self._clock)

    async def run_once(self) -> int:
        """
        Time out what is due; returns how many. Safe on every replica at once.

        One org whose rows are locked, or cannot be read, does not hold up the others.
        """
        now = self._clock.now()
        async with self._database.for_fleet("end what is due") as fleet:
            due = await list_due(fleet, most=_AT_ONCE, now=now)
        ended = 0
        for org, actions in due.items():
            with isolated("timeouts", org=org):
                async with self._database.for_org(org) as tx:
                    ended += await time_out(tx, actions, now)
        return ended
