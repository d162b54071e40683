"""Use cases that read triggers, their revisions and their firings."""

from collections.abc import Sequence
from dataclasses import replace

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import NotFoundError
from controlplane.core.firings import FiringPage
from controlplane.core.lists import Listing
from controlplane.core.triggers import TriggerKey, TriggerPage, TriggerRow, TriggerScope
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity.profiles import find_profiles
from controlplane.store.resources import triggers as store
from controlplane.store.resources.trigger_firings import list_firings


class TriggerReader:
    """Use cases that read triggers; they take the permission to read tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, caller: Caller, key: TriggerKey) -> TriggerRow:
        """Return a trigger; NotFoundError."""
        caller.require(Permission.TASK_READ, key.project, key.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_trigger(tx, key)
            if found is None:
                raise NotFoundError("trigger", key)
            return (await with_profiles(tx, [found]))[0]

    async def get_revision(self, caller: Caller, key: TriggerKey, revision: int) -> TriggerRow:
        """Return one revision of a trigger, which may be deleted; NotFoundError."""
        caller.require(Permission.TASK_READ, key.project, key.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_revision(tx, key, revision)
            if found is None:
                raise NotFoundError("trigger", f"{key}, revision {revision}")
            return (await with_profiles(tx, [found]))[0]

    async def list(self, caller: Caller, scope: TriggerScope, listing: Listing) -> TriggerPage:
        """List the triggers in a scope that the caller may read."""
        scope = replace(scope, within=caller.list_scopes(Permission.TASK_READ))
        async with self._database.for_org(caller.org) as tx:
            page = await store.list_triggers(tx, scope, listing)
            return replace(page, rows=await with_profiles(tx, page.rows))

    async def list_revisions(
        self, caller: Caller, key: TriggerKey, listing: Listing
    ) -> TriggerPage:
        """List the revisions of a trigger, which may be deleted; NotFoundError."""
        caller.require(Permission.TASK_READ, key.project, key.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.list_revisions(tx, key, listing)
            found = replace(found, rows=await with_profiles(tx, found.rows))
        if not found.rows and not listing.filters and not listing.token:
            raise NotFoundError("trigger", key)
        return found

    async def list_firings(self, caller: Caller, key: TriggerKey, listing: Listing) -> FiringPage:
        """List the firings of a trigger, which may be deleted, newest first; NotFoundError."""
        caller.require(Permission.TASK_READ, key.project, key.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await list_firings(tx, key, listing)
            if not found.rows and not listing.token and not await store.has_trigger(tx, key):
                raise NotFoundError("trigger", key)
        return found


async def with_profiles(tx: OrgTx, rows: Sequence[TriggerRow]) -> Sequence[TriggerRow]:
    """Add the profiles of the people who changed triggers."""
    profiles = await find_profiles(
        tx, (subject for row in rows for subject in (row.deployed_by, row.updated_by))
    )
    return [replace(row, profiles=profiles) for row in rows]
