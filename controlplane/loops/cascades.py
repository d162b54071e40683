"""
Ends descendants of ended actions, page by page, when there are too many for one transaction.

Runs after each notification of a new marker, and periodically; a page is one short transaction,
and runs with markers are served round-robin, one page each.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from uuid import UUID

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.cascades import end_page, list_cascading
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.ids import OrgName, RunId

_RUNS = 500
_START = (OrgName(""), RunId(UUID(int=0)))


class Cascades:
    """
    Loop that ends descendants.

    ``wakeups`` registers a wakeup that is notified of new markers: ``Feeds.cascades``.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Callable[[Wakeup], AbstractContextManager[None]],
        clock: Clock,
        *,
        every: timedelta,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._wakeups(wakeup):
            await run_periodically(
                "cascades", self.run_once, every=self._every, clock=self._clock, pause=wakeup.wait
            )

    async def run_once(self) -> int:
        """
        End descendants until no marker is left; return how many. Safe on every replica at once.

        A run whose page fails is retried in the next pass, and delays no other run.
        """
        ended = 0
        skipped: set[tuple[OrgName, RunId]] = set()
        while runs := [run for run in await self._list() if run not in skipped]:
            for run in runs:
                page = await self._end_page(*run)
                if page is None:
                    skipped.add(run)
                else:
                    ended += page
        return ended

    async def _list(self) -> Sequence[tuple[OrgName, RunId]]:
        found: list[tuple[OrgName, RunId]] = []
        more = True
        while more:
            async with self._database.for_fleet("list the runs with a cascade") as fleet:
                page = await list_cascading(fleet, found[-1] if found else _START, most=_RUNS)
            found.extend(page)
            more = len(page) == _RUNS
        return found

    async def _end_page(self, org: OrgName, run: RunId) -> int | None:
        """End a page of one run; None if that failed or another replica has it locked."""
        page: int | None = None
        with isolated("cascades", org=org, run_id=str(run)):
            async with self._database.for_org(org) as tx:
                page = await end_page(tx, run, self._clock.now())
        return page
