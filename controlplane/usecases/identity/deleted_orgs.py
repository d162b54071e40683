"""
Ends what runs in deleted orgs, and erases their data after the time to restore them.

Every step is idempotent and small: a page of runs, of rows or of objects. Where a process dies, the
next pass of any replica goes on; two replicas at once do the same twice, or half each.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

from controlplane.core.callers import Caller, Subject
from controlplane.core.deleted_orgs import ABORT_REASON
from controlplane.core.layout import org_base
from controlplane.store.database import Database
from controlplane.store.dispatch.aborts import abort_runs
from controlplane.store.identity import deleted_orgs as store
from controlplane.store.identity.deleted_orgs import DeletedOrg
from controlplane.store.notify.changes import notify_cluster
from controlplane.store.resources.clusters import end_sessions
from controlplane.usecases.identity.audit import record
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.model.ids import OrgName, RunId

log = logging.getLogger(__name__)

ORGS_AT_ONCE = 200
LIVE_AT_ONCE = 1_000
"""Actions that are looked through for runs to abort in one transaction."""
RUNS_AT_ONCE = 100
"""Runs that one transaction aborts."""
_ACTOR = Subject("operator:volary")
_START = UUID(int=0)


class DeletedOrgs:
    """``blobs``: the installation's store; None where the objects are left."""

    def __init__(self, database: Database, blobs: BlobStore | None, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    async def list(self, after: str = "") -> Sequence[DeletedOrg]:
        """List a page of the deleted orgs that are not erased yet, by name."""
        async with self._database.for_fleet("list deleted orgs") as fleet:
            return await store.list_deleted(fleet, after=after, most=ORGS_AT_ONCE)

    async def stop(self, deleted: DeletedOrg) -> int:
        """
        Abort the org's runs, and end its agents once they have stopped everything or had their time.

        Returns how many actions were ended. Runs that another transaction has locked are left to
        the next pass.
        """
        ended = 0
        for waiting in (False, True):
            after: object = _START
            while True:
                found = await self._list_live(deleted.name, after, waiting=waiting)
                runs = sorted({RunId(run) for _, run in found})
                for start in range(0, len(runs), RUNS_AT_ONCE):
                    ended += await self._abort(deleted, runs[start : start + RUNS_AT_ONCE])
                if len(found) < LIVE_AT_ONCE:
                    break
                after = found[-1][0]
        await self._end_agents(deleted)
        return ended

    async def erase(self, org: OrgName) -> int:
        """
        Erase objects, logins and rows of an org whose time to be restored has passed.

        Returns how many; 0 also if it is not due. The org's row and its audit log stay.
        """
        async with self._database.for_org(org) as tx:
            if not await store.begin_erasing(tx, self._clock.now()):
                return 0
        erased = found = await self._erase_once(org)
        while found:  # until a whole pass finds nothing
            found = await self._erase_once(org)
            erased += found
        async with self._database.for_org(org) as tx:
            if await store.end_erasing(tx, self._clock.now()):
                caller = Caller(subject=_ACTOR, org=org, name="")
                await record(tx, self._clock, caller, "org.erase", f"org:{org}")
        log.warning("org erased", extra={"org": org, "count": erased})
        return erased

    async def _list_live(
        self, org: OrgName, after: object, *, waiting: bool
    ) -> Sequence[tuple[UUID, UUID]]:
        async with self._database.for_org(org) as tx:
            return await store.list_live(tx, after, waiting=waiting, most=LIVE_AT_ONCE)

    async def _abort(self, deleted: DeletedOrg, runs: Sequence[RunId]) -> int:
        by = deleted.deletion.deleted_by
        async with self._database.for_org(deleted.name) as tx:
            return await abort_runs(tx, runs, reason=ABORT_REASON, by=by, now=self._clock.now())

    async def _end_agents(self, deleted: DeletedOrg) -> None:
        """End the sessions of agents that have nothing more to stop; they are refused from then on."""
        now = self._clock.now()
        async with self._database.for_org(deleted.name) as tx:
            if deleted.deletion.agents_until > now and await store.has_leases(tx):
                return
            await store.end_agents(tx, now)
            clusters = await end_sessions(tx)
            for cluster in clusters:
                await notify_cluster(tx, cluster)
        if clusters:
            log.info("agents of deleted org ended", extra={"org": deleted.name})

    async def _erase_once(self, org: OrgName) -> int:
        erased = 0
        if self._blobs is not None:
            base = org_base(self._blobs.base, org)
            async for count in self._blobs.delete_below(base):
                erased += count
        erased += await self._erase_logins(org)
        for table in store.ERASED_TABLES:
            after: Sequence[object] | None = None
            while True:
                async with self._database.for_org(org) as tx:
                    page = await store.erase_page(tx, table, after)
                erased += page.rows
                if page.last is None:
                    break
                after = page.last
        return erased

    async def _erase_logins(self, org: OrgName) -> int:
        erased, page = 0, 1
        while page:
            async with self._database.for_fleet("erase the logins of a deleted org") as fleet:
                page = await store.erase_logins_page(fleet, org)
            erased += page
        return erased
