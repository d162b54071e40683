"""
Gives back leases that nobody speaks for. Three kinds, each after its own patience:

* never accepted: nobody can have started it, so it waits again as it was;
* held by a cluster that is away, of a task that may be replaced: its agent has stopped it
  by then (self-fence < reassign), so the next attempt may begin elsewhere;
* accepted, but unknown to the agent that took stock since: its memory is gone.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core.tempo import Tempo
from controlplane.loops.pacing import come_round, isolated
from controlplane.store.changes import lock_free_runs, tell_of_work
from controlplane.store.database import Database
from controlplane.store.dispatches import return_late
from controlplane.store.leases import LapsedLease, list_lapsed, lock_lapsed, note_silent, tick, void
from controlplane.store.reports import apply_reports
from shared.kit.clock import Clock
from shared.model.ids import ActionId, ClusterName, OrgName
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind, Report

log = logging.getLogger(__name__)

CLUSTERS_AT_ONCE = 500
LEASES_AT_ONCE = 500
LOCK_TIMEOUT = timedelta(seconds=1)

_START = (OrgName(""), ClusterName(""))

CLUSTER_LOST = Failure(
    code="ClusterLost",
    kind=FailureKind.SYSTEM,
    message="The cluster was not heard of for too long; its agent has stopped the attempt.",
)
LEASE_LOST = Failure(
    code="LeaseLost",
    kind=FailureKind.SYSTEM,
    message="The cluster's agent does not know of the attempt any more.",
)


class LeaseExpiry:
    def __init__(self, database: Database, clock: Clock, tempo: Tempo) -> None:
        self._database = database
        self._clock = clock
        self._tempo = tempo

    async def run(self) -> None:
        await come_round("lease expiry", self.run_once, every=self._tempo.passes, clock=self._clock)

    async def run_once(self) -> int:
        """
        Advance the lease clock, give back what has lapsed; returns how much. Safe on all replicas.

        Each step commits by itself: the clock goes on, and clusters are noted as silent, while
        leases cannot be given back.
        """
        now = self._clock.now()
        async with self._database.for_fleet("advance the lease clock") as fleet:
            await tick(fleet, now, most=5 * self._tempo.passes)
        with isolated("lease expiry", step="note silent clusters"):
            await self._note_silent()
        returned = 0
        with isolated("lease expiry", step="return what was not accepted"):
            returned = await self._return_late(now)
        return returned + await self._expire(now)

    async def _note_silent(self) -> None:
        async with self._database.for_fleet("note silent clusters") as fleet:
            silent = await note_silent(fleet, silent_after=self._tempo.silent_after)
        for org, cluster in silent:
            log.warning("cluster is silent", extra={"org": org, "cluster": cluster})

    async def _return_late(self, now: datetime) -> int:
        async with self._database.for_fleet("return leases that were not accepted") as fleet:
            returned = await return_late(fleet, now - self._tempo.acceptance, now)
            for org in returned:
                await tell_of_work(fleet, org)
        return sum(returned.values())

    async def _expire(self, now: datetime) -> int:
        """One cluster whose rows are locked, or cannot be read, does not hold up the others."""
        expired, after = 0, _START
        while clusters := await self._list(after):
            for org, cluster in clusters:
                with isolated("lease expiry", org=org, cluster=cluster):
                    expired += await self._expire_cluster(org, cluster, now)
            after = clusters[-1]
        return expired

    async def _list(
        self, after: tuple[OrgName, ClusterName]
    ) -> Sequence[tuple[OrgName, ClusterName]]:
        async with self._database.for_fleet("list clusters with lapsed leases") as fleet:
            return await list_lapsed(
                fleet,
                reassign_after=self._tempo.reassign_after,
                after=after,
                most=CLUSTERS_AT_ONCE,
            )

    async def _expire_cluster(self, org: OrgName, cluster: ClusterName, now: datetime) -> int:
        """Fail what has lapsed, page by page; leases of runs that are locked wait for a later pass."""
        expired, after = 0, ActionId(UUID(int=0))
        more = True
        while more:
            async with self._database.for_org(org, lock_timeout=LOCK_TIMEOUT) as tx:
                page = await lock_lapsed(
                    tx,
                    cluster,
                    reassign_after=self._tempo.reassign_after,
                    after=after,
                    most=LEASES_AT_ONCE,
                )
                free = await lock_free_runs(tx, {lease.run for lease in page})
                lapsed = [lease for lease in page if lease.run in free]
                await apply_reports(tx, cluster, _reports(lapsed, now), now)
                await void(tx, lapsed)
            expired += len(lapsed)
            more = len(page) == LEASES_AT_ONCE
            if more:
                after = page[-1].attempt.action
        return expired


def _reports(leases: Sequence[LapsedLease], now: datetime) -> Sequence[Report]:
    """Say in the agent's place that its attempts have failed."""
    return [
        Report(
            attempt=lease.attempt,
            lease=lease.lease,
            version=lease.version + 1,
            phase=Phase.FAILED,
            at=now,
            reason="lease_lapsed",
            failure=LEASE_LOST if lease.missing else CLUSTER_LOST,
        )
        for lease in leases
    ]
