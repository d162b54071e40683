"""Use cases of runs: create, abort, read, list and watch them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from controlplane.core.actions import ActionDetail, ActionRow, Page
from controlplane.core.caching import readable_scopes
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    BusyError,
    ExhaustedError,
    NotFoundError,
    NotReadyError,
    QueueNotFoundError,
    RequestError,
    UnavailableError,
)
from controlplane.core.lists import Listing
from controlplane.core.runs import (
    INPUTS_GRACE,
    InputsUpload,
    NewRun,
    RunDetail,
    RunRequest,
    RunScope,
)
from controlplane.core.scoped_settings import Effective
from controlplane.core.tasks import TaskKey
from controlplane.feeds.feeds import Feeds
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.caching import Lookup, RootSettings
from controlplane.store.resources import (
    actions as store_actions,
    lists as store_lists,
    runs as store,
)
from controlplane.store.resources.artifact_uses import save_input_artifacts
from controlplane.store.resources.runs import RootCache
from controlplane.usecases.actions import refresh
from controlplane.usecases.cache_checks import CacheChecks
from controlplane.usecases.data import Data
from controlplane.usecases.deliveries import Deliveries
from controlplane.usecases.recoveries import Recoveries
from controlplane.usecases.run_access import require_run_access
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.tasks import Tasks
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import ROOT, ActionId, RunId, RunKey
from shared.model.phases import TERMINAL

log = logging.getLogger(__name__)

INPUTS_TIMEOUT = timedelta(minutes=1)
"""Timeout of storing a run's inputs; less than ``INPUTS_GRACE``, after which the run starts."""
FIRST_OF_MANY = 100
"""Runs in the initial snapshot of a watch of many, newest first."""
MOST_REMEMBERED = 10_000
"""Runs of which a watch remembers the last change sent; past that it may send duplicates."""


class Runs:
    """Use cases of runs."""

    def __init__(
        self,
        database: Database,
        feeds: Feeds,
        clock: Clock,
        *,
        tasks: Tasks,
        data: Data,
        settings: ScopedSettings,
        cache_checks: CacheChecks,
        recoveries: Recoveries,
        deliveries: Deliveries,
    ) -> None:
        self._recoveries = recoveries
        self._database = database
        self._feeds = feeds
        self._clock = clock
        self._tasks = tasks
        self._data = data
        self._settings = settings
        self._cache_checks = cache_checks
        self._deliveries = deliveries

    async def create(
        self,
        caller: Caller,
        run_key: RunKey,
        task: TaskKey | bytes,
        parse: Callable[[bytes, Effective], RunRequest],
    ) -> ActionRow:
        """
        Create a run of ``task`` and return its root action; a refused run stores no inputs.

        ``task``: the key of a deployed task, or a serialised TaskSpec. ``parse`` builds the
        request from the TaskSpec and from the settings of the run's project and domain.
        Idempotent: a repeated request of the same caller returns the same run, and stores its
        inputs if they are missing.

        NotFoundError (task, trigger, project, domain, queue, related run), NotReadyError (code
        bundle missing, project archived, run to recover is live), ExhaustedError (queue full),
        AlreadyExistsError, UnavailableError.
        """
        caller.require_somewhere(Permission.RUN_CREATE)
        spec = (await self._tasks.get(caller, task)).spec if isinstance(task, TaskKey) else task
        caller.require(Permission.RUN_CREATE, run_key.project, run_key.domain)
        effective = await self._settings.resolve(caller.org, run_key.project, run_key.domain)
        request = parse(spec, effective)
        new, inputs = request.new, request.inputs
        if new.cache is not None:
            new = replace(new, cache=new.cache.with_default(self._cache_checks.max_age))
        require_run_access(self._data.access, caller, new)
        await self._deliveries.require(self._database, caller.org, new.notifications)
        await self._data.require_code(caller, request.code_bundle)
        now = available_at = self._clock.now()
        artifacts = () if inputs is None else inputs.artifacts
        if inputs is not None:
            new = replace(new, input_uri=self._data.locate_inputs(caller, inputs))
            new = await self._recoveries.resolve(caller, new)
            if new.cache is not None or new.recovered is not None:
                # Before the run, which may have succeeded as soon as it is seen.
                await self._write_inputs(new, self._data.upload_inputs(caller, inputs))
                inputs = None
            else:
                available_at = now + INPUTS_GRACE
        else:
            new = replace(new, inputs_run=self._data.access.run_of(caller, new.input_uri))
            new = await self._recoveries.resolve(caller, new)
        run_id = RunId(new_uuid(now))
        cache = RootCache(
            scopes=readable_scopes(caller, is_global=new.is_cache_global),
            check=None,
        )
        cache = await self._check_cached(caller, run_id, new, cache)
        async with self._database.for_org(caller.org) as tx:
            await save_input_artifacts(tx, {new.input_uri: artifacts}, now)
            created, run = await store.create_run(
                tx,
                run_id,
                new,
                by=caller.subject,
                now=now,
                available_at=available_at,
                cache=cache,
            )
            require_created(created, new)
            roots = await store_actions.list_roots(tx, [run])
        if inputs is not None:
            roots = await self._store_inputs(caller, run, new, inputs)
        log.info(
            "run created",
            extra={"run": str(new.key.run), "task": new.info.name, "by": caller.subject},
        )
        return roots[0]

    async def _check_cached(
        self, caller: Caller, run: RunId, new: NewRun, cache: RootCache
    ) -> RootCache:
        """Check that the outputs that the root would get from the cache exist."""
        if new.cache is None:
            return cache
        lookup = Lookup(id=ActionId(run), run=new.key.run, request=new.cache)
        settings = RootSettings(scopes=cache.scopes, overwrites=new.overwrite_cache)
        [check] = await self._cache_checks.check(caller.org, [lookup], root=settings)
        return replace(cache, check=check)

    async def _store_inputs(
        self, caller: Caller, run: RunId, new: NewRun, inputs: InputsUpload
    ) -> Sequence[ActionRow]:
        """
        Store the inputs of a run that was created, then let it start; or delete the run.

        The run comes first, so that no inputs are left of a run that is refused. If this
        replica stops in between, a repeated request or ``INPUTS_GRACE`` lets the run start.
        """
        try:
            await self._write_inputs(new, self._data.store_inputs(new.input_uri, inputs.body))
        except (RequestError, UnavailableError):
            async with self._database.for_org(caller.org) as tx:
                await store.discard_run(tx, run, self._clock.now())
            raise
        async with self._database.for_org(caller.org) as tx:
            await store.make_available(tx, run, self._clock.now())
            roots = await store_actions.list_roots(tx, [run])
        if not roots:
            raise UnavailableError(
                f"the inputs of run {new.key.run} could not be stored by another request; try again"
            )
        return roots

    async def _write_inputs(self, new: NewRun, writing: Awaitable[object]) -> None:
        """Wait until the run's inputs are in the store; RequestError, UnavailableError."""
        try:
            async with asyncio.timeout(INPUTS_TIMEOUT.total_seconds()):
                await writing
        except (UnavailableError, TimeoutError) as error:
            reason = str(error) or f"it took longer than {INPUTS_TIMEOUT}"
            log.warning("inputs not stored", extra={"run": str(new.key.run), "reason": reason})
            raise UnavailableError(
                f"the inputs of run {new.key.run} could not be stored: {reason}; try again"
            ) from error

    async def abort(self, caller: Caller, run: RunKey, reason: str) -> None:
        """Abort a run; actions that have ended keep their phase."""
        caller.require(Permission.RUN_ABORT, run.project, run.domain)
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
        caller.require(Permission.RUN_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            return await self._detail(tx, await self._run(tx, run), run)

    async def read_spec(self, caller: Caller, run: RunKey) -> bytes:
        """Return the RunSpec of a run whose actions the caller may enqueue; NotFoundError."""
        caller.require(Permission.ACTION_ENQUEUE, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            return await store.get_run_spec(tx, await self._run(tx, run))

    async def list(self, caller: Caller, scope: RunScope, listing: Listing) -> Page:
        """List the root actions of the runs in a scope that the caller may read."""
        scope = replace(scope, within=caller.list_scopes(Permission.RUN_READ))
        async with self._database.for_org(caller.org) as tx:
            return await store_lists.list_runs(tx, scope, listing)

    async def watch_detail(self, caller: Caller, run: RunKey) -> AsyncIterator[RunDetail]:
        """Yield the run now and after each change of its root, until its terminal phase."""
        caller.require(Permission.RUN_READ, run.project, run.domain)
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
        """
        Yield the newest runs of ``scope``, then those that change, until cancelled.

        A run that a cluster had an attempt of is shown to its end, also when it has none any more.
        """
        scope = replace(scope, within=caller.list_scopes(Permission.RUN_READ))
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
                        changed = [RunId(each) for each in shown] if scope.cluster else []
                    else:
                        rows = []
                    among = changed
                    if scope.cluster:
                        leased = await store_lists.find_leased(tx, scope.cluster, changed)
                        among = [run for run in changed if run in leased or ActionId(run) in shown]
                    rows = [
                        *rows,
                        *(
                            row
                            for row in await store_actions.list_roots(tx, among)
                            if scope.takes(row) and shown.get(row.id) != row.change
                        ),
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
        run_spec, started_at = await store.get_start(tx, run)
        return RunDetail(root=root, run_spec=run_spec, started_at=started_at)


def require_created(created: store.Created, new: NewRun) -> None:
    """Raise the error for a run that was refused."""
    run = new.key.run
    match created:
        case store.Created.NO_PROJECT:
            raise NotFoundError("project", run.project)
        case store.Created.ARCHIVED_PROJECT:
            raise NotReadyError(f"project {run.project} is archived; make it active to run in it")
        case store.Created.NO_TRIGGER:
            raise NotFoundError("trigger", "" if new.trigger is None else new.trigger.name)
        case store.Created.NO_SOURCE:
            raise NotFoundError("run", new.related_run, remedy="it was purged meanwhile")
        case store.Created.NO_INPUTS:
            raise NotReadyError(
                f"run {new.inputs_run}, in whose data the inputs lie, is being purged; upload the"
                " inputs again"
            )
        case store.Created.NO_QUEUE:
            raise QueueNotFoundError(new.queue)
        case store.Created.QUEUE_FULL:
            raise ExhaustedError(f"queue {new.queue or 'default'} is full; try again later")
        case store.Created.OVER_QUOTA:
            raise ExhaustedError("a quota of actions per day is used up; try again tomorrow")
        case store.Created.BUSY:
            raise BusyError(f"queue {new.queue} is busy; try again")
        case store.Created.TAKEN:
            raise AlreadyExistsError(f"there is another run {run}; choose another name")
        case store.Created.CREATED | store.Created.REPEATED:
            return
