"""Purges runs: those that expired, and those that people asked to purge."""

from datetime import datetime, timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.loops.rests import Rests
from controlplane.usecases.run_purges import RunPurges
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock
from shared.model.ids import RunId

EVERY = timedelta(seconds=5)
EXPIRE_EVERY = timedelta(hours=1)
REST = Backoff(first=EVERY, at_most=timedelta(minutes=10), jitter=0.3)
"""Rest of a run whose purge failed, such as one whose objects cannot be deleted."""
_LOOP = "run purges"


class RunPurgeLoop:
    """Loop over expired runs, each hour, and over runs that are being purged, every few seconds."""

    def __init__(self, purges: RunPurges, clock: Clock) -> None:
        self._purges = purges
        self._clock = clock
        self._expire_from: datetime | None = None
        self._rests = Rests[RunId](REST, clock)

    async def run(self) -> None:
        await run_periodically(_LOOP, self.run_once, every=EVERY, clock=self._clock)

    async def run_once(self) -> int:
        """
        Purge what is due; return how many runs. Safe on every replica at once.

        A run that fails rests before it is tried again, and delays no other.
        """
        self._rests.forget_old()
        now = self._clock.now()
        if self._expire_from is None or now >= self._expire_from:
            await self._expire()
            self._expire_from = now + EXPIRE_EVERY
        purged = 0
        page = await self._purges.list_purging()
        while page:
            for run in page:
                if self._rests.is_resting(run.id):
                    continue
                self._rests.begin(run.id)
                with isolated(_LOOP, org=run.org, run=str(run.key)):
                    await self._purges.purge(run)
                    self._rests.end(run.id)
                    purged += 1
            page = await self._purges.list_purging(page[-1])
        return purged

    async def _expire(self) -> None:
        after = ""
        while orgs := await self._purges.list_orgs(after):
            for org in orgs:
                with isolated(_LOOP, org=org):
                    await self._purges.expire(org)
            after = orgs[-1]
