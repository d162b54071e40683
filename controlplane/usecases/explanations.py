"""Use cases of explanations: why an action or a run is pending."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core.action_timings import DispatchTimings
from controlplane.core.callers import Caller, Permission
from controlplane.core.deadlocks import find_deadlocks, find_spawn_deadlocks
from controlplane.core.errors import NotFoundError
from controlplane.core.explanations import (
    Explained,
    Explanation,
    explain,
    explain_dispatch,
    explain_waiter,
)
from controlplane.core.pending_reasons import BlockedScope, PendingReason, find
from controlplane.feeds.feeds import Feeds
from controlplane.feeds.subscriptions import ChangeSubscription
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import explanations as store
from controlplane.store.dispatch.deadlocks import list_kept_limits, list_spawned_run_limits
from controlplane.store.dispatch.pending_reasons import read_use
from controlplane.store.resources.queues import list_full
from controlplane.store.resources.runs import find_run
from shared.kit.clock import Clock
from shared.model.ids import ROOT, ActionKey, RunId, RunKey
from shared.model.phases import TERMINAL

MOST_PENDING = 100
WATCH_INTERVAL = timedelta(seconds=5)
"""Longest time between two explanations of a watched action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAction:
    """An action that has not ended, with its explanation."""

    action: ActionKey
    phase: str
    attempt: int
    cluster: str | None
    why: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRun:
    """Explanation of a run's root, and of its pending actions (at most ``MOST_PENDING``)."""

    root: Explained
    pending: Sequence[PendingAction]


class Explanations:
    """Explains actions and runs to callers with permission to read them."""

    def __init__(self, database: Database, clock: Clock, feeds: Feeds | None = None) -> None:
        """Explain; without ``feeds`` a watch looks for changes at intervals only."""
        self._database = database
        self._clock = clock
        self._feeds = feeds

    async def action(self, caller: Caller, action: ActionKey) -> Explained:
        """Explain one action, now and since its enqueue."""
        caller.require(Permission.ACTION_READ, action.run.project, action.run.domain)
        async with self._database.for_org(caller.org) as tx:
            run = await _find_run(tx, action.run)
            return await self._action(tx, run, action)

    async def watch(self, caller: Caller, action: ActionKey) -> AsyncIterator[Explained]:
        """
        Yield an action's explanation now and when it may have changed, until it has ended.

        Reasons of waiting change with clusters and queues, too, so it is made again at intervals.
        """
        caller.require(Permission.ACTION_READ, action.run.project, action.run.domain)
        async with AsyncExitStack() as stack:
            changes: ChangeSubscription | None = None
            if self._feeds is not None:
                async with self._database.for_org(caller.org) as tx:
                    run = await _find_run(tx, action.run)
                changes = await stack.enter_async_context(
                    self._feeds.changes(caller.org, run, name=action.name)
                )
            sent: Explained | None = None
            while True:
                found = await self.action(caller, action)
                if sent is None or _differ(sent, found):
                    yield found
                    sent = found
                if found.phase in TERMINAL:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_INTERVAL.total_seconds()):
                        if changes is None:
                            await asyncio.Event().wait()
                        else:
                            await changes.take()

    async def run(self, caller: Caller, run: RunKey) -> ExplainedRun:
        """Explain a run: its root and its pending actions."""
        caller.require(Permission.RUN_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            run_id = await _find_run(tx, run)
            root = await self._action(tx, run_id, ActionKey(run, ROOT))
            pending = await store.list_dispatches(tx, run_id, run, most=MOST_PENDING)
            return ExplainedRun(
                root=root, pending=await explain_dispatches(tx, pending, self._clock.now())
            )

    async def list_pending(
        self, caller: Caller, run: RunKey, *, limit: int, after: str = ""
    ) -> tuple[Sequence[PendingAction], str]:
        """
        Explain the run's pending actions by name, and return where the next page begins.

        "" at the end; a page before it may have fewer than ``limit``, or none.
        """
        caller.require(Permission.RUN_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            run_id = await _find_run(tx, run)
            found, past = await store.list_dispatches_page(tx, run_id, run, after=after, most=limit)
            waiting = await store.list_waiters_page(tx, run_id, run, after=after, most=limit + 1)
            pending = [
                *await explain_dispatches(tx, found, self._clock.now()),
                *(
                    PendingAction(
                        action=action,
                        phase=phase.name.lower(),
                        attempt=1,
                        cluster=None,
                        why=explain_waiter(equal),
                    )
                    for action, phase, equal in waiting
                    if not past or action.name <= past
                ),
            ]
        pending.sort(key=lambda each: each.action)
        if len(pending) > limit:
            return pending[:limit], pending[limit - 1].action.name
        return pending, past

    async def _action(self, tx: OrgTx, run: RunId, action: ActionKey) -> Explained:
        now = self._clock.now()
        found = await store.find_timings(tx, run, action, now)
        if found is None:
            raise NotFoundError("action", action)
        timings, ahead = found
        return explain(
            timings,
            await _pending_reasons(tx, {run}),
            now,
            ahead=ahead,
            is_full=timings.queue in await list_full(tx, {timings.queue}),
        )


def _differ(before: Explained, after: Explained) -> bool:
    """Return whether an explanation says something else, apart from how long it lasts."""
    return (before.phase, before.attempt, before.now, len(before.timeline)) != (
        after.phase,
        after.attempt,
        after.now,
        len(after.timeline),
    )


async def explain_dispatches(
    tx: OrgTx, dispatches: Sequence[DispatchTimings], now: datetime
) -> Sequence[PendingAction]:
    """Explain actions that have not ended, by name."""
    pending_reasons = await _pending_reasons(tx, {RunId(UUID(each.run)) for each in dispatches})
    full = await list_full(tx, {each.queue for each in dispatches})
    return [
        PendingAction(
            action=each.action,
            phase=each.phase.name.lower(),
            attempt=each.attempt,
            cluster=each.cluster,
            why=explain_dispatch(each, pending_reasons, now, is_full=each.queue in full),
        )
        for each in sorted(dispatches, key=lambda each: each.action)
    ]


async def _find_run(tx: OrgTx, run: RunKey) -> RunId:
    found = await find_run(tx, run)
    if found is None:
        raise NotFoundError("run", run)
    return found


async def _pending_reasons(
    tx: OrgTx, runs: Collection[RunId]
) -> Mapping[BlockedScope, PendingReason]:
    return {
        **find(await read_use(tx, [str(run) for run in runs])),
        **find_deadlocks(await list_kept_limits(tx)),
        **find_spawn_deadlocks(await list_spawned_run_limits(tx)),
    }
