"""Reads the limits of API requests per second into this replica, and deletes old counts of actions."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.resources.quotas import forget_counts, list_request_rates
from shared.kit.clock import Clock
from shared.model.ids import OrgName

PAGE = 1_000


class RequestRateReader:
    """Loop of each replica; a changed limit holds at all replicas after ``every``."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        set_limits: Callable[[Mapping[OrgName, int]], None],
        *,
        every: timedelta,
        page: int = PAGE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._set_limits = set_limits
        self._every = every
        self._page = page

    async def run(self) -> None:
        await run_periodically("request rates", self._pass, every=self._every, clock=self._clock)

    async def _pass(self) -> None:
        await self.run_once()  # no result: it would log a line for each pass

    async def run_once(self) -> int:
        """Read the limits of all orgs, a page a statement; return how many orgs have one."""
        limits: dict[OrgName, int] = {}
        async with self._database.for_fleet("read limits of requests") as tx:
            while True:
                past = max(limits, default="")
                page = await list_request_rates(tx, past=past, most=self._page)
                limits |= page
                if len(page) < self._page:
                    break
            await forget_counts(tx, self._clock.now())
        self._set_limits(limits)
        return len(limits)
