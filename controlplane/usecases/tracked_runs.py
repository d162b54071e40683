"""Use cases of tracked runs: a program outside of Volary runs the tasks, and reports them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from controlplane.core.actions import ActionRow
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    ExhaustedError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
    RequestError,
)
from controlplane.core.runs import NewRun
from controlplane.core.tasks import TaskKey
from controlplane.core.tracked_runs import MAX_CHANGES, Tree, Update, names_in
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import actions as store_actions, tracked_runs as store
from controlplane.store.resources.runs import Created, create_run
from controlplane.store.resources.tracked_reports import save
from controlplane.usecases.data import Data
from controlplane.usecases.runs import require_created
from controlplane.usecases.tasks import Tasks
from controlplane.usecases.tracked_run_settings import TrackedRunSettings
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, RunId, RunKey

log = logging.getLogger(__name__)

REPORTS_AT_ONCE = 500
"""Reports that one transaction applies; a request with more takes several."""


class TrackedRuns:
    """Use cases of tracked runs."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        tasks: Tasks,
        data: Data,
        settings: TrackedRunSettings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._tasks = tasks
        self._data = data
        self._settings = settings

    async def create(
        self,
        caller: Caller,
        run_key: RunKey,
        task: TaskKey | bytes,
        parse: Callable[[bytes], NewRun],
    ) -> ActionRow:
        """
        Create a tracked run of ``task`` and return its root action; idempotent as a run is.

        ``task``: the key of a deployed task, or a serialised TaskSpec. NotFoundError (task,
        project, domain), NotReadyError (project archived), AlreadyExistsError.
        """
        caller.require_somewhere(Permission.RUN_CREATE)
        spec = (await self._tasks.get(caller, task)).spec if isinstance(task, TaskKey) else task
        caller.require(Permission.RUN_CREATE, run_key.project, run_key.domain)
        new = parse(spec)
        inputs = self._data.locate_uploaded(caller, new.input_uri, "offloaded_input_data.uri")
        new = replace(new, input_uri=inputs)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            created, run = await create_run(
                tx, RunId(new_uuid(now)), new, by=caller.subject, now=now
            )
            require_created(created, new)
            if created is Created.CREATED:
                await store.expect_reports(tx, run, within=self._settings.timeout, now=now)
            [root] = await store_actions.list_roots(tx, [run])
        log.info(
            "tracked run created",
            extra={"run": str(run_key), "task": new.info.name, "by": caller.subject},
        )
        return root

    async def report(
        self, caller: Caller, run_key: RunKey, reports: Sequence[Update | InvalidError]
    ) -> Sequence[RequestError | None]:
        """
        Apply reports, and return for each why it was refused; None: it was applied, or is no news.

        Idempotent: a repeated report is no news. NotFoundError (run), NotAllowedError (another
        than its creator reports it).
        """
        caller.require(Permission.RUN_CREATE, run_key.project, run_key.domain)
        answers: list[RequestError | None] = []
        for start in range(0, len(reports), REPORTS_AT_ONCE):
            page = reports[start : start + REPORTS_AT_ONCE]
            async with self._database.for_org(caller.org) as tx:
                run = await self._require(tx, run_key, caller)
                answers.extend(await self._apply(tx, run, run_key, page))
        return answers

    async def require_tracked(self, caller: Caller, run_key: RunKey) -> None:
        """Raise NotFoundError unless the run is a tracked one, which the caller may read."""
        caller.require(Permission.RUN_READ, run_key.project, run_key.domain)
        async with self._database.for_org(caller.org) as tx:
            await self._require(tx, run_key)

    async def _require(self, tx: OrgTx, key: RunKey, reporter: Caller | None = None) -> RunId:
        found = await store.find_tracked(tx, key)
        if found is None:
            raise NotFoundError("tracked run", key)
        run, created_by = found
        if reporter is not None and created_by != reporter.subject:
            raise NotAllowedError(
                f"tracked run {key} was created by {created_by}, and only that one may report it;"
                " start a run of your own"
            )
        return run

    async def _apply(
        self, tx: OrgTx, run_id: RunId, key: RunKey, page: Sequence[Update | InvalidError]
    ) -> Sequence[RequestError | None]:
        now = self._clock.now()
        updates = [each for each in page if isinstance(each, Update)]
        run = await store.lock_tracked(tx, run_id)
        if run.change >= MAX_CHANGES:
            raise ExhaustedError(
                f"tracked run {key} has had {MAX_CHANGES} changes, the most that it may have;"
                " start another run"
            )
        names = names_in(updates)
        actions = await store.read_actions(tx, run_id, names)
        attempts = await store.read_attempts(
            tx,
            {
                (actions[each.name].id, each.name, each.attempt)
                for each in updates
                if each.name in actions
            },
        )
        fills = any(
            each.described is not None
            and each.name in actions
            and actions[each.name].is_placeholder
            for each in updates
        )
        tree = Tree(
            actions=actions,
            attempts=attempts,
            ancestors=await store.read_ancestors(tx, run_id, names) if fills else {},
            new_id=lambda: ActionId(new_uuid(now)),
            created_at=run.created_at,
            now=now,
        )
        answers: list[RequestError | None] = []
        for each in page:
            if isinstance(each, InvalidError):
                answers.append(each)
            elif refusal := tree.apply(each):
                answers.append(NotReadyError(f"action {each.name} of run {key}: {refusal}"))
            else:
                answers.append(None)
        await save(tx, run, tree)
        await store.expect_reports(tx, run_id, within=self._settings.timeout, now=now)
        return answers
