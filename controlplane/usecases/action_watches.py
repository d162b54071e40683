"""Use cases that watch the actions of a run, or the children of one: a snapshot, then changes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from controlplane.core.actions import ActionRow, SnapshotEnd, SnapshotPart
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import NotFoundError
from controlplane.core.runs import WatchedRun
from controlplane.feeds.feeds import Feeds
from controlplane.feeds.subscriptions import ChangeSubscription
from controlplane.store.database import Database
from controlplane.store.resources import actions as store
from controlplane.store.resources.action_snapshots import read_changed
from controlplane.store.resources.runs import find_watched, get_change
from controlplane.usecases.recoveries import Recoveries
from shared.model.ids import ActionKey, ActionName, OrgName, RunId, RunKey

SNAPSHOT_PAGE = 500
SNAPSHOT_PART = 1_000
"""Actions of a run in a part of its snapshot: half a dozen milliseconds of the event loop."""


class ActionWatches:
    """
    Watches of actions.

    Rows that changed during a snapshot may be yielded again after it: a duplicate is harmless, a
    missed change is not.
    """

    def __init__(self, database: Database, feeds: Feeds, recoveries: Recoveries) -> None:
        self._database = database
        self._feeds = feeds
        self._recoveries = recoveries

    async def find(self, caller: Caller, run: RunKey) -> WatchedRun:
        """Find a run to watch; NotFoundError."""
        caller.require(Permission.ACTION_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await find_watched(tx, run)
        if found is None:
            raise NotFoundError("run", run)
        return found

    async def watch_run(
        self, caller: Caller, run: WatchedRun, *, after: int = 0
    ) -> AsyncIterator[SnapshotPart | SnapshotEnd | Sequence[ActionRow]]:
        """
        Yield the actions of a run by their change, SnapshotEnd, then changes, until cancelled.

        Only those with a change above ``after``: the caller has the others.
        """
        caller.require(Permission.ACTION_READ, run.key.project, run.key.domain)
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(self._feeds.opening())
            changes = await stack.enter_async_context(self._feeds.changes(caller.org, run.id))
            complete_to = await self._latest_change(caller.org, run.id)
            is_whole = after >= complete_to
            while not is_whole:
                async with self._database.for_org(caller.org) as tx:
                    part = await read_changed(tx, run.id, after=after, most=SNAPSHOT_PART)
                if part.similar:
                    yield part
                after = part.change
                is_whole = len(part) < SNAPSHOT_PART
            yield SnapshotEnd.TOKEN
            opened()
            async for rows in _later(changes, complete_to):
                yield rows

    async def watch_children(
        self, caller: Caller, parent: ActionKey
    ) -> AsyncIterator[Sequence[ActionRow] | SnapshotEnd]:
        """Yield the direct children of ``parent``, SnapshotEnd, then changes, until cancelled."""
        caller.require(Permission.ACTION_READ, parent.run.project, parent.run.domain)
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(self._feeds.opening())
            run = await self.find(caller, parent.run)
            async with self._database.for_org(caller.org) as tx:
                if await store.find_detail(tx, run.id, parent.name) is None:
                    raise NotFoundError("action", parent)
            if run.recovers:
                await self._recoveries.recover_traces(caller.org, run.id, parent.name)
            changes = await stack.enter_async_context(
                self._feeds.changes(caller.org, run.id, parent=parent.name)
            )
            complete_to = await self._latest_change(caller.org, run.id)
            async for rows in self._children(caller.org, run.id, parent.name):
                yield rows
            yield SnapshotEnd.TOKEN
            opened()
            async for rows in _later(changes, complete_to):
                yield rows

    async def _children(
        self, org: OrgName, run: RunId, parent: ActionName
    ) -> AsyncIterator[Sequence[ActionRow]]:
        after = ""
        while True:
            async with self._database.for_org(org) as tx:
                rows = await store.list_children(tx, run, parent, after=after, most=SNAPSHOT_PAGE)
            if rows:
                yield rows
                after = rows[-1].key.name
            if len(rows) < SNAPSHOT_PAGE:
                return

    async def _latest_change(self, org: OrgName, run: RunId) -> int:
        async with self._database.for_org(org) as tx:
            return await get_change(tx, run)


async def _later(
    changes: ChangeSubscription, complete_to: int
) -> AsyncIterator[Sequence[ActionRow]]:
    while True:
        if fresh := [row for row in await changes.take() if row.change > complete_to]:
            yield fresh
