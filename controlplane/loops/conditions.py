"""Ends conditions that nobody answered in time."""

from datetime import timedelta

from controlplane.loops.pacing import come_round
from controlplane.store.database import Database
from controlplane.store.upkeep import list_due, time_out
from shared.kit.clock import Clock

_AT_ONCE = 500


class ConditionTimeouts:
    def __init__(self, database: Database, clock: Clock, *, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await come_round("condition timeouts", self.run_once, every=self._every, clock=self._clock)

    async def run_once(self) -> int:
        """Time out what is due; returns how many. Safe on every replica at once."""
        now = self._clock.now()
        async with self._database.for_fleet("time out conditions") as fleet:
            due = await list_due(fleet, most=_AT_ONCE, now=now)
        for org, actions in due.items():
            async with self._database.for_org(org) as tx:
                await time_out(tx, actions, now)
        return sum(len(actions) for actions in due.values())
