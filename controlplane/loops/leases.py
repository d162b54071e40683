"""
Gives back leases that nobody speaks for. Three kinds, each after its own patience:

* never accepted: nobody can have started it, so it waits again as it was;
* held by a cluster that is away, of a task that may be replaced: its agent has stopped it
  by then (self-fence < reassign), so the next attempt may begin elsewhere;
* accepted, but unknown to the agent that took stock since: its memory is gone.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from controlplane.core.tempo import Tempo
from controlplane.loops.pacing import come_round, isolated
from controlplane.store.changes import tell_of_work
from controlplane.store.database import Database
from controlplane.store.dispatches import return_late
from controlplane.store.leases import LapsedLease, list_lapsed, lock_lapsed, note_silent, tick, void
from controlplane.store.reports import apply_reports
from shared.kit.clock import Clock
from shared.model.ids import ClusterName, OrgName
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind, Report

log = logging.getLogger(__name__)

_AT_ONCE = 500

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
        """Let the clock run, give back what has lapsed; returns how much. Safe on all replicas."""
        now = self._clock.now()
        async with self._database.for_fleet("let the control clock run") as fleet:
            await tick(fleet, now, most=5 * self._tempo.passes)
            silent = await note_silent(fleet, silent_after=self._tempo.silent_after)
            returned = await return_late(fleet, now - self._tempo.acceptance, now)
            for org in returned:
                await tell_of_work(fleet, org)
        for org, cluster in silent:
            log.warning("cluster is silent", extra={"org": org, "cluster": cluster})
        return sum(returned.values()) + await self._expire(now)

    async def _expire(self, now: datetime) -> int:
        """One cluster whose rows are locked, or cannot be read, does not hold up the others."""
        expired = 0
        async with self._database.for_fleet("list leases that lapsed") as fleet:
            lapsed = await list_lapsed(
                fleet, reassign_after=self._tempo.reassign_after, most=_AT_ONCE
            )
        for org, clusters in lapsed.items():
            for cluster in sorted(clusters):
                with isolated("lease expiry", org=org, cluster=cluster):
                    expired += await self._expire_cluster(org, cluster, now)
        return expired

    async def _expire_cluster(self, org: OrgName, cluster: ClusterName, now: datetime) -> int:
        async with self._database.for_org(org) as tx:
            held = await lock_lapsed(
                tx, cluster, reassign_after=self._tempo.reassign_after, most=_AT_ONCE
            )
            await apply_reports(tx, cluster, _reports(held, now), now)
            await void(tx, held)
        return len(held)


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
