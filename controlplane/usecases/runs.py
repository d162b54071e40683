"""Use cases of runs: create, abort, read, list and watch them."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from controlplane.core.actions import ActionDetail, ActionRow, NewRun, Page, RunDetail
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ExhaustedError,
    NotFoundError,
    NotReadyError,
    QueueNotFoundError,
)
from controlplane.core.lists import Listing, RunScope
from controlplane.feeds.feeds import Feeds
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.aborts import abort
from controlplane.store.resources import (
    actions as store_actions,
    lists as store_lists,
    runs as store,
)
from controlplane.usecases.details import refresh
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import ROOT, RunId, RunKey
from shared.model.phases import TERMINAL

__all__ = ["RunScope", "Runs"]

log = logging.getLogger(__name__)

FIRST_OF_MANY = 100
"""Runs in the initial snapshot of a watch of many, newest first."""
MOST_REMEMBERED = 10_000
"""Runs of which a watch remembers the last change sent; past that it may send duplicates."""


class Runs:
    """Use cases of runs."""

    def __init__(self, database: Database, feeds: Feeds, clock: Clock) -> None:
        self._database = database
        self._feeds = feeds
        self._clock = clock

    async def create(self, caller: Caller, new: NewRun) -> ActionRow:
        """
        Create a run; idempotent: a repeated request of the same caller returns the same run.

        NotFoundError (project), NotReadyError (archived), AlreadyExistsError.
        """
        caller.require(Permission.RUN_CREATE)
        now = self._clock.now()
        key = new.key.run
        async with self._database.for_org(caller.org) as tx:
            created, run = await store.create_run(
                tx, RunId(new_uuid(now)), new, by=caller.subject, now=now
            )
            match created:
                case store.Created.NO_PROJECT:
                    raise NotFoundError("project", key.project)
                case store.Created.ARCHIVED_PROJECT:
                    raise NotReadyError(
                        f"project {key.project} is archived; make it active to run in it"
                    )
                case store.Created.NO_QUEUE:
                    raise QueueNotFoundError(new.queue)
                case store.Created.QUEUE_FULL:
                    raise ExhaustedError(f"queue {new.queue or 'default'} is full; try again later")
                case store.Created.TAKEN:
                    raise AlreadyExistsError(f"there is another run {key}; choose another name")
                case store.Created.CREATED | store.Created.REPEATED:
                    pass
            root = (await store_actions.list_roots(tx, [run]))[0]
        log.info(
            "run created",
            extra={"run": str(key), "task": new.info.name, "by": caller.subject},
        )
        return root

    async def abort(self, caller: Caller, run: RunKey, reason: str) -> None:
        """Abort a run; actions that have ended keep their phase."""
        caller.require(Permission.RUN_ABORT)
        async with self._database.for_org(caller.org) as tx:
            await abort(
                tx,
                await self._run(tx, run),
                ROOT,
                reason=reason or "no reason given",
                by=caller.subject,
                now=self._clock.now(),
            )
        log.info("run aborted", extra={"run": str(run), "by": caller.subject})

    async def detail(self, caller: Caller, run: RunKey) -> RunDetail:
        """Return a run's root action and RunSpec; NotFoundError."""
        caller.require(Permission.RUN_READ)
        async with self._database.for_org(caller.org) as tx:
            return await self._detail(tx, await self._run(tx, run), run)

    async def list(self, caller: Caller, scope: RunScope, listing: Listing) -> Page:
        """List the root actions of the runs in a scope."""
        caller.require(Permission.RUN_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store_lists.list_runs(tx, scope, listing)

    async def watch_detail(self, caller: Caller, run: RunKey) -> AsyncIterator[RunDetail]:
        """Yield the run now and after each change of its root, until its terminal phase."""
        caller.require(Permission.RUN_READ)
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(self._feeds.opening())
            async with self._database.for_org(caller.org) as tx:
                run_id = await self._run(tx, run)
            changes = await stack.enter_async_context(
                self._feeds.changes(caller.org, run_id, name=ROOT)
            )
            async with self._database.for_org(caller.org) as tx:
                detail = await self._detail(tx, run_id, run)
            while True:
                yield detail
                opened()
                if detail.root.row.phase in TERMINAL:
                    return
                root = await refresh(self._database, caller.org, detail.root, await changes.take())
                detail = replace(detail, root=root)

    async def watch_many(
        self, caller: Caller, scope: RunScope
    ) -> AsyncIterator[Sequence[ActionRow]]:
        """Yield the newest runs of ``scope``, then those that change, until cancelled."""
        caller.require(Permission.RUN_READ)
        newest = Listing(limit=FIRST_OF_MANY)
        with self._feeds.runs(caller.org) as changes:
            async with self._feeds.opening():
                async with self._database.for_org(caller.org) as tx:
                    page = await store_lists.list_runs(tx, scope, newest)
                shown = {row.id: row.change for row in page.rows}
                yield page.rows
            while True:
                changed = await changes.take()
                async with self._database.for_org(caller.org) as tx:
                    if changed is None:  # too many runs changed to name them: list again
                        rows = (await store_lists.list_runs(tx, scope, newest)).rows
                    else:
                        rows = [
                            row
                            for row in await store_actions.list_roots(tx, changed)
                            if scope.takes(row) and shown.get(row.id) != row.change
                        ]
                if len(shown) > MOST_REMEMBERED:
                    shown.clear()
                shown.update((row.id, row.change) for row in rows)
                if rows:
                    yield rows

    async def _run(self, tx: OrgTx, key: RunKey) -> RunId:
        run = await store.find_run(tx, key)
        if run is None:
            raise NotFoundError("run", key)
        return run

    async def _detail(self, tx: OrgTx, run: RunId, key: RunKey) -> RunDetail:
        root: ActionDetail | None = await store_actions.find_detail(tx, run, ROOT)
        if root is None:
            raise NotFoundError("run", key)
        return RunDetail(root=root, run_spec=await store.get_run_spec(tx, run))
