"""Use cases that explain where a run's time and retries went: attempts, failures, critical path."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from controlplane.core.attempt_history import AttemptRecord, FailureGroup
from controlplane.core.callers import Caller, Permission
from controlplane.core.critical_path import (
    BATCH,
    CriticalPath,
    PathWalk,
    explain_steps,
    summarize,
)
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.explanations import timeline
from controlplane.core.run_activity import (
    DEFAULT_BUCKETS,
    MAX_BUCKETS,
    Activity,
    period_of,
    scopes_of,
    summarize_activity,
)
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import attempt_history, critical_path, run_activity
from controlplane.store.dispatch.pending_reasons import list_past
from controlplane.store.resources.runs import find_run
from shared.kit.clock import Clock
from shared.model.ids import ActionKey, RunId, RunKey

T = TypeVar("T")


class RunAnalysis:
    """Analyses runs for callers with permission to read their actions."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list_attempts(
        self, caller: Caller, action: ActionKey, *, after: int, limit: int
    ) -> tuple[Sequence[AttemptRecord], int | None]:
        """List attempts from after number ``after`` on; the second: after which the rest begins."""

        async def read(tx: OrgTx, run: RunId) -> Sequence[AttemptRecord] | None:
            return await attempt_history.list_attempts(
                tx, run, action.name, after=after, most=limit + 1
            )

        found = await self._of_run(caller, action.run, read)
        if found is None:
            raise NotFoundError("action", action)
        page = found[:limit]
        return page, page[-1].number if len(found) > limit else None

    async def list_failures(
        self, caller: Caller, run: RunKey, *, token: str, limit: int
    ) -> tuple[Sequence[FailureGroup], str]:
        """List a run's failures by cause, the most frequent first, with the next page's token."""
        return await self._of_run(
            caller,
            run,
            lambda tx, run_id: attempt_history.list_failures(tx, run_id, token=token, most=limit),
        )

    async def critical_path(self, caller: Caller, run: RunKey) -> CriticalPath:
        """Find the critical path of a run until its end, or until now."""
        now = self._clock.now()

        async def read(tx: OrgTx, run_id: RunId) -> CriticalPath:
            root = await critical_path.find_root(tx, run_id, now)
            if root is None:
                raise NotFoundError("run", run)
            walk = PathWalk(root)
            while (wanted := walk.wants()) is not None:
                action, before = wanted
                children = await critical_path.list_children(
                    tx, action, before=before, now=now, most=BATCH
                )
                walk.give(children)
            ids = sorted({step.action.id for step in walk.steps})
            timings = await critical_path.list_timings(tx, run, ids, now)
            timelines = {key: timeline(each, now) for key, each in timings.items()}
            pieces = explain_steps(walk.steps, timelines)
            return summarize(pieces, truncated=walk.is_truncated, now=now)

        return await self._of_run(caller, run, read)

    async def activity(
        self,
        caller: Caller,
        run: RunKey,
        *,
        since: datetime | None,
        until: datetime | None,
        buckets: int,
    ) -> Activity:
        """
        Count what a run's attempts did in ``buckets`` (0: a hundred) of a period.

        By default it is the run's time until its end, or until now. InvalidError.
        """
        if not 0 <= buckets <= MAX_BUCKETS:
            raise InvalidError(f"buckets: must be from 0 to {MAX_BUCKETS}, is {buckets}")
        if since is not None and until is not None and since >= until:
            raise InvalidError("until: must be after since")
        buckets = buckets or DEFAULT_BUCKETS
        now = self._clock.now()

        async def read(tx: OrgTx, run_id: RunId) -> Activity:
            root = await critical_path.find_root(tx, run_id, now)
            if root is None:
                raise NotFoundError("run", run)
            began, ended = period_of(root.began_at, root.ended_at, since=since, until=until)
            changes = await run_activity.list_changes(
                tx, run_id, since=began, until=ended, buckets=buckets, now=now
            )
            scopes = scopes_of({each.lane for each in changes}, str(run_id))
            past = await list_past(tx, scopes, since=began, until=ended) if scopes else []
            return summarize_activity(
                changes, past, run=str(run_id), since=began, until=ended, buckets=buckets
            )

        return await self._of_run(caller, run, read)

    async def _of_run(
        self, caller: Caller, run: RunKey, read: Callable[[OrgTx, RunId], Awaitable[T]]
    ) -> T:
        caller.require(Permission.ACTION_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            run_id = await find_run(tx, run)
            if run_id is None:
                raise NotFoundError("run", run)
            return await read(tx, run_id)
