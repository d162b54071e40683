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

from controlplane.core.link_timings import LinkTimings
from controlplane.loops.periodic import isolated, run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.dispatches import return_late
from controlplane.store.dispatch.leases import (
    ExpiredLease,
    list_expired,
    lock_expired,
    note_silent,
    revoke,
    tick,
)
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.notify.changes import lock_free_runs, notify_work
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
    def __init__(self, database: Database, clock: Clock, timings: LinkTimings) -> None:
        self._database = database
        self._clock = clock
        self._timings = timings

    async def run(self) -> None:
        await run_periodically(
            "lease expiry", self.run_once, every=self._timings.passes, clock=self._clock
        )

    async def run_once(self) -> int:
        """
        Advance the lease clock, give back what has lapsed; returns how much. Safe on all replicas.

        Each step commits by itself: the clock goes on, and clusters are noted as silent, while
        leases cannot be given back.
        """
        now = self._clock.now()
        async with self._database.for_fleet("advance the lease clock") as fleet:
            await tick(fleet, now, most=5 * self._timings.passes)
        with isolated("lease expiry", step="note silent clusters"):
            await self._note_silent()
        returned = 0
        with isolated("lease expiry", step="return what was not accepted"):
            returned = await self._return_late(now)
        return returned + await self._expire(now)

    async def _note_silent(self) -> None:
        async with self._database.for_fleet("note silent clusters") as fleet:
            silent = await note_silent(fleet, silent_after=self._timings.silent_after)
        for org, cluster in silent:
            log.warning("cluster is silent", extra={"org": org, "cluster": cluster})

    async def _return_late(self, now: datetime) -> int:
        async with self._database.for_fleet("return leases that were not accepted") as fleet:
            returned = await return_late(fleet, now - self._timings.acceptance, now)
            for org in returned:
                await notify_work(fleet, org)
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
            return await list_expired(
                fleet,
                reassign_after=self._timings.reassign_after,
                after=after,
                most=CLUSTERS_AT_ONCE,
            )

    async def _expire_cluster(self, org: OrgName, cluster: ClusterName, now: datetime) -> int:
        """Fail what has lapsed, page by page; leases of runs that are locked wait for a later pass."""
        expired, after = 0, ActionId(UUID(int=0))
        more = True
        while more:
            async with self._database.for_org(org, lock_timeout=LOCK_TIMEOUT) as tx:
                page = await lock_expired(
                    tx,
                    cluster,
                    reassign_after=self._timings.reassign_after,
                    after=after,
                    most=LEASES_AT_ONCE,
                )
                free = await lock_free_runs(tx, {lease.run for lease in page})
                expired_clusters = [lease for lease in page if lease.run in free]
                await apply_reports(tx, cluster, _reports(expired_clusters, now), now)
                await revoke(tx, expired_clusters)
            expired += len(expired_clusters)
            more = len(page) == LEASES_AT_ONCE
            if more:
                after = page[-1].attempt.action
        return expired


def _reports(leases: Sequence[ExpiredLease], now: datetime) -> Sequence[Report]:
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
