"""Adds ended attempts to the usage of their days, and deletes usage after its retention."""

from datetime import timedelta

from prometheus_client import Counter

from controlplane.core.usage import KEPT
from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.resources.usage import FOLD_PAGE, fold_page, forget_usage
from shared.kit.clock import Clock

METERED = Counter(
    "volary_usage_attempts",
    "Ended attempts that this replica added to the usage of their days.",
    registry=None,  # ``main`` registers it
)


class UsageMeter:
    """Loop of usage. Every replica runs it; each ended attempt is added by one of them."""

    def __init__(self, database: Database, clock: Clock, *, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await run_periodically("usage", self._pass, every=self._every, clock=self._clock)

    async def _pass(self) -> None:
        await self.run_once()  # no result: each pass may count something, and would log a line

    async def run_once(self) -> int:
        """Add all attempts that have ended, a page a transaction; return how many."""
        added, page = 0, FOLD_PAGE
        while page == FOLD_PAGE:
            async with self._database.for_fleet("add ended attempts to usage") as tx:
                page = await fold_page(tx)
            METERED.inc(page)
            added += page
        async with self._database.for_fleet("delete old usage") as tx:
            await forget_usage(tx, self._clock.now().date() - KEPT)
        return added
