"""
Expires leases of clusters that stopped sending heartbeats, or whose agent does not have them.

Three kinds, each with its own timeout:

* never accepted: no agent can have started the attempt, so it is requeued unchanged;
* leased to a silent cluster, of a replaceable task: its agent has stopped the attempt by then
  (self-fence < reassign), so the next attempt may start on another cluster;
* accepted, but missing from a later inventory: the agent has lost its ledger.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core.attempts import CLUSTER_LOST, LEASE_LOST
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
from shared.model.reports import Report

log = logging.getLogger(__name__)

CLUSTERS_AT_ONCE = 500
LEASES_AT_ONCE = 500
LOCK_TIMEOUT = timedelta(seconds=1)

_START = (OrgName(""), ClusterName(""))


class LeaseExpiry:
    """Loop that advances the lease clock and expires leases."""

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
        Advance the lease clock, expire leases, return how many. Safe on every replica at once.

        Each step commits by itself: the clock advances, and clusters are marked as silent, even
        while leases cannot be expired.
        """
        now = self._clock.now()
        async with self._database.for_fleet("advance the lease clock") as fleet:
            await tick(fleet, now, most=5 * self._timings.passes)
        with isolated("lease expiry", step="mark silent clusters"):
            await self._mark_silent()
        returned = 0
        with isolated("lease expiry", step="return unaccepted leases"):
            returned = await self._return_late(now)
        return returned + await self._expire(now)

    async def _mark_silent(self) -> None:
        async with self._database.for_fleet("mark silent clusters") as fleet:
            silent = await note_silent(fleet, silent_after=self._timings.silent_after)
        for org, cluster in silent:
            log.warning("cluster is silent", extra={"org": org, "cluster": cluster})

    async def _return_late(self, now: datetime) -> int:
        async with self._database.for_fleet("return unaccepted leases") as fleet:
            returned = await return_late(fleet, now - self._timings.acceptance, now)
            for org in returned:
                await notify_work(fleet, org)
        return sum(returned.values())

    async def _expire(self, now: datetime) -> int:
        """Expire leases cluster by cluster; one whose rows are locked or unreadable is skipped."""
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
        async with self._database.for_fleet("list clusters with expired leases") as fleet:
            return await list_expired(
                fleet,
                reassign_after=self._timings.reassign_after,
                after=after,
                most=CLUSTERS_AT_ONCE,
            )

    async def _expire_cluster(self, org: OrgName, cluster: ClusterName, now: datetime) -> int:
        """Fail expired leases page by page; leases of locked runs wait for a later pass."""
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
                unlocked = [lease for lease in page if lease.run in free]
                await apply_reports(tx, cluster, _reports(unlocked, now), now)
                await revoke(tx, unlocked)
            expired += len(unlocked)
            more = len(page) == LEASES_AT_ONCE
            if more:
                after = page[-1].attempt.action
        return expired


def _reports(leases: Sequence[ExpiredLease], now: datetime) -> Sequence[Report]:
    """Build failure reports for the leases in the agent's place."""
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
