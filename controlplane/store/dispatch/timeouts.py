"""
Times out actions: conditions without an answer, tasks that wait or run too long.

``actions.due_at`` holds the deadline, in an index of its own; no table is scanned. An action
that times out takes its live descendants with it, as any end does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.actions import ActionType, RunSource
from controlplane.core.timeouts import DEADLINE, QUEUED_TIMEOUT
from controlplane.core.tracked_runs import REPORTER_LOST
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch.cascades import (
    PARENT_ENDED,
    EndedParent,
    end_descendants,
    end_with_descendants,
    lock_dispatches,
    release,
)
from controlplane.store.dispatch.reservations import end_reservations
from controlplane.store.notify.changes import Counters, lock_runs, notify
from controlplane.store.phase_guards import is_live, may_become, unestimated
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, OrgName, RunId
from shared.model.phases import Phase
from shared.model.reports import FailureKind

DUE_OF_RUN = 5_000

# Listed by run: a run whose rows are locked stays due, and behind a limit of rows it would hide
# all others.
_DUE = statement(f"""
WITH due AS MATERIALIZED (
    SELECT org, run_id, id FROM actions
    WHERE due_at <= :now AND due_at IS NOT NULL AND {is_live("phase")}
)
SELECT org, run_id, (array_agg(id))[1:{DUE_OF_RUN}] AS ids FROM due
WHERE (org, run_id) > (:org_after, :run_after)
GROUP BY org, run_id ORDER BY org, run_id LIMIT :most
""")

# The exceeded limit is read from the policy; the deadline takes precedence over the timeout.
_TIME_OUT = statement(f"""
{given(id="uuid", change="bigint")}
UPDATE actions a
SET phase = {Phase.TIMED_OUT.value}, ended_at = :now, updated_at = :now, change = n.change,
    error_kind = {FailureKind.USER.value}, error_recoverable = false, error_uri = '',
    error_code = CASE
        WHEN a.type = {ActionType.CONDITION.value} THEN 'CONDITION_TIMEOUT'
        WHEN s.deadline > interval '0' AND a.created_at + s.deadline <= :now THEN '{DEADLINE}'
        ELSE '{QUEUED_TIMEOUT}' END,
    error_message = CASE
        WHEN a.type = {ActionType.CONDITION.value} THEN 'The condition timed out: no answer came in time.'
        WHEN s.deadline > interval '0' AND a.created_at + s.deadline <= :now
        THEN 'The action did not end within its deadline of ' || s.deadline || '.'
        ELSE 'The action waited longer than its max_queued_time of ' || s.queued_timeout || '.'
        END
FROM n
JOIN actions b ON b.org = n.org AND b.id = n.id
JOIN specs s ON s.org = b.org AND s.digest = b.spec
WHERE a.org = n.org AND a.id = n.id AND {unestimated("a.due_at <= :now")}
  AND {unestimated(may_become("a.phase", str(Phase.TIMED_OUT.value)))}
RETURNING a.id, a.run_id, a.error_message, a.cache_serialized
""")

_LOST = statement(f"""
{given(id="uuid", run_id="uuid")}
SELECT n.id, n.run_id FROM n
JOIN runs r ON r.org = n.org AND r.run_id = n.run_id
JOIN actions a ON a.org = n.org AND a.id = n.id
WHERE {unestimated(f"r.source = {RunSource.TRACKED.value}")}
  AND {unestimated("a.due_at <= :now")} AND {unestimated(is_live("a.phase"))}
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRun:
    """A run with actions past their deadline; at most ``DUE_OF_RUN`` of them."""

    org: OrgName
    run: RunId
    actions: Sequence[ActionId]


async def list_due(
    tx: FleetTx, *, after: tuple[OrgName, RunId], most: int, now: datetime
) -> Sequence[DueRun]:
    """List runs with actions past their deadline, by org and run, from after ``after`` on."""
    org, run = after
    values = {"now": now, "most": most, "org_after": org, "run_after": run}
    return [
        DueRun(
            org=OrgName(row.org),
            run=RunId(row.run_id),
            actions=[ActionId(action) for action in row.ids],
        )
        for row in (await tx.connection.execute(_DUE, values)).all()
    ]


async def time_out(tx: OrgTx, due: Sequence[tuple[ActionId, RunId]], now: datetime) -> int:
    """
    End those of these actions that are still due as TIMED_OUT; return how many.

    A tracked run that is due is ABORTED with all its actions: its reporter was lost.
    """
    await tx.plan_for(len(due))
    counters = await lock_runs(tx, {run for _, run in due})
    if lost := await _abort_lost(tx, counters, due, now):
        return lost
    await lock_dispatches(tx, [action for action, _ in due])
    ended = await tx.rows(
        _TIME_OUT,
        {
            "id": [action for action, _ in due],
            "change": [counters.next(run) for _, run in due],
            "now": now,
        },
    )
    parents = [
        EndedParent(id=ActionId(row.id), run=RunId(row.run_id), reason=PARENT_ENDED)
        for row in ended
    ]
    stops = await release(tx, {parent.id: "its time is up" for parent in parents}, now)
    below = await end_descendants(tx, counters, parents, now)
    serialized = {ActionId(row.id) for row in ended if row.cache_serialized}
    wakes = await end_reservations(tx, serialized, now)
    await notify(
        tx,
        counters,
        stops=[*stops, *below.stops],
        cascades=below.is_marked,
        reservations=wakes or below.wakes_waiters,
    )
    return len(ended)


async def _abort_lost(
    tx: OrgTx, counters: Counters, due: Sequence[tuple[ActionId, RunId]], now: datetime
) -> int:
    """Abort the tracked run whose root is due; 0 if none of these is. All are of one run."""
    rows = await tx.rows(
        _LOST, {"id": [action for action, _ in due], "run_id": [run for _, run in due], "now": now}
    )
    if not rows:
        return 0
    lost = [
        EndedParent(id=ActionId(row.id), run=RunId(row.run_id), reason=REPORTER_LOST)
        for row in rows
    ]
    cascade = await end_with_descendants(tx, counters, lost, now)
    await notify(tx, counters, cascades=cascade.is_marked)
    return cascade.ended
