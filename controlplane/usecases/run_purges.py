"""
Deletes ended runs: by request, and after the time for which the installation keeps them.

A run that something needs is left (``core.run_holds``). Every step is idempotent and small: a page of
runs, of objects or of rows. Where a process dies, the next pass of any replica goes on.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import BusyError, NotFoundError
from controlplane.core.layout import belongs_to
from controlplane.core.retention import RetentionPolicy
from controlplane.core.run_holds import RunRetention, require_purgeable
from controlplane.store.database import Database
from controlplane.store.resources import run_purges as store
from controlplane.store.resources.run_purges import PurgingRun
from controlplane.usecases.identity.audit import record
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName, RunId, RunKey

log = logging.getLogger(__name__)

RUNS_AT_ONCE = 100
"""Runs that one transaction looks at."""
ORGS_AT_ONCE = 200
_FIRST = UUID(int=0)
_ANY_AGE = timedelta(days=1)  # a run cannot have ended after that


class RunRetentions:
    """Reads what holds runs, and begins purges on request."""

    def __init__(self, database: Database, clock: Clock, policy: RetentionPolicy) -> None:
        self._database = database
        self._clock = clock
        self._policy = policy

    def get_policy(self, caller: Caller) -> RetentionPolicy:
        """Return for how long the installation keeps data."""
        caller.require(Permission.ORG_READ)
        return self._policy

    async def get(self, caller: Caller, run: RunKey) -> RunRetention:
        """Return when a run expires, and what holds it; NotFoundError."""
        caller.require(Permission.RUN_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_retention(tx, run)
        if found is None:
            raise NotFoundError("run", run)
        return self._with_expiry(found[1])

    async def purge(self, caller: Caller, run: RunKey) -> RunRetention:
        """
        Begin to delete a run, with its data; a run that is being deleted stays so.

        NotFoundError. NotReadyError: it is live, or held, by what the error names.
        """
        caller.require(Permission.RUN_PURGE, run.project, run.domain)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_retention(tx, run)
            if found is None:
                raise NotFoundError("run", run)
            run_id, retention = found
            if retention.purging_since is not None:
                return retention
            require_purgeable(retention)
            if not await store.begin_purges(
                tx, [run_id], ended_before=now + _ANY_AGE, now=now, skip_locked=False
            ):
                raise BusyError(f"run {run} came to be held, or is just ending; try again")
            await record(tx, self._clock, caller, "run.purge", f"run:{run}")
        log.info("run purge begun", extra={"run": str(run), "by": caller.subject})
        return replace(retention, purging_since=now)

    def _with_expiry(self, retention: RunRetention) -> RunRetention:
        if self._policy.runs is None or retention.ended_at is None:
            return retention
        return replace(retention, expires_at=retention.ended_at + self._policy.runs)


class RunPurges:
    """Use cases of the loop: begins purges of expired runs, and carries all purges out."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: Clock, *, keep: timedelta | None
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._keep = keep

    async def list_orgs(self, after: str = "") -> Sequence[OrgName]:
        """List a page of the orgs that are not deleted, by name."""
        async with self._database.for_fleet("list orgs with expired runs") as fleet:
            return await store.list_orgs(fleet, after=after, most=ORGS_AT_ONCE)

    async def expire(self, org: OrgName) -> int:
        """
        Begin to purge the org's runs that ended before the time to keep them; return how many.

        Those that are held are looked at again in each pass.
        """
        if self._keep is None:
            return 0
        before = self._clock.now() - self._keep
        until, after, begun = new_uuid(before), _FIRST, 0
        while True:
            async with self._database.for_org(org) as tx:
                runs = await store.list_old(tx, after=after, until=until, most=RUNS_AT_ONCE)
                purged = await store.begin_purges(
                    tx, runs, ended_before=before, now=self._clock.now()
                )
            for run in purged.values():
                log.info("expired run to be purged", extra={"org": org, "run": str(run)})
            begun += len(purged)
            if len(runs) < RUNS_AT_ONCE:
                return begun
            after = runs[-1]

    async def list_purging(self, after: PurgingRun | None = None) -> Sequence[PurgingRun]:
        """List a page of the runs whose data is to be deleted."""
        start = ("", _FIRST) if after is None else (after.org, after.id)
        async with self._database.for_fleet("list runs to purge") as fleet:
            return await store.list_purging(fleet, after=start, most=RUNS_AT_ONCE)

    async def purge(self, run: PurgingRun) -> int:
        """Delete a run's objects, then its rows; return how many actions and objects."""
        deleted = 0
        if belongs_to(self._blobs.base, run.org, f"{run.run_base}/"):
            async for count in self._blobs.delete_below(run.run_base):
                deleted += count
        else:  # the settings of its project named another store
            log.warning(
                "objects of a purged run left: they lie outside of the store",
                extra={"org": run.org, "run": str(run.key), "base": run.run_base},
            )
        deleted += await self._delete_rows(run.org, run.id)
        log.info("run purged", extra={"org": run.org, "run": str(run.key), "count": deleted})
        return deleted

    async def _delete_rows(self, org: OrgName, run: RunId) -> int:
        deleted, after = 0, ""
        while True:
            async with self._database.for_org(org) as tx:
                page = await store.list_actions(tx, run, after=after)
                below = [action for action, _ in page if action != run]
                await store.delete_actions(tx, below)
            deleted += len(below)
            if len(page) < store.ROWS_PAGE:
                break
            after = page[-1][1]
        async with self._database.for_org(org) as tx:
            return deleted + await store.delete_run(tx, run)
