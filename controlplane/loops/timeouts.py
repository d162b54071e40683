"""Times out conditions and tasks whose timeout or deadline has passed."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.timeouts import DueRun, list_due, time_out
from controlplane.store.notify.changes import lock_free_runs
from shared.kit.clock import Clock
from shared.model.ids import OrgName, RunId

log = logging.getLogger(__name__)

RUNS_AT_ONCE = 1_000
ACTIONS_AT_ONCE = 500
LOCK_TIMEOUT = timedelta(seconds=1)

_START = (OrgName(""), RunId(UUID(int=0)))


class Timeouts:
    """Loop that ends actions whose timeout has passed."""

    def __init__(self, database: Database, clock: Clock, *, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await run_periodically("timeouts", self.run_once, every=self._every, clock=self._clock)

    async def run_once(self) -> int:
        """
        Time out actions that are due; return how many. Safe on every replica at once.

        A run that is locked, or cannot be read, does not delay the others; it is due again in
        the next pass.
        """
        ended, after = 0, _START
        while due := await self._list(after):
            for each in due:
                with isolated("timeouts", org=each.org, run_id=str(each.run)):
                    ended += await self._time_out(each)
            after = (due[-1].org, due[-1].run)
        return ended

    async def _list(self, after: tuple[OrgName, RunId]) -> Sequence[DueRun]:
        async with self._database.for_fleet("list runs with timeouts") as fleet:
            return await list_due(fleet, after=after, most=RUNS_AT_ONCE, now=self._clock.now())

    async def _time_out(self, due: DueRun) -> int:
        """Time out the run's due actions in short transactions; none if the run is locked."""
        ended = 0
        for start in range(0, len(due.actions), ACTIONS_AT_ONCE):
            page = due.actions[start : start + ACTIONS_AT_ONCE]
            async with self._database.for_org(due.org, lock_timeout=LOCK_TIMEOUT) as tx:
                if due.run not in await lock_free_runs(tx, [due.run]):
                    log.info("timeout skipped: run locked", extra={"run_id": str(due.run)})
                    break
                ended += await time_out(
                    tx, [(action, due.run) for action in page], self._clock.now()
                )
        return ended
