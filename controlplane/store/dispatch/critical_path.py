"""Reads what a run's critical path needs: the children that ended last, and timings of actions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.action_timings import ActionTimings, blocked_scopes
from controlplane.core.actions import ActionType, RunSource
from controlplane.core.critical_path import Span
from controlplane.core.pending_reasons import BlockedKind, BlockedScope
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.explanations import clusters_of, list_dispatches_of, parse_attempts
from controlplane.store.dispatch.pending_reasons import list_past
from controlplane.store.rows import parse_enum, parse_source
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, ActionKey, ActionName, RunId, RunKey
from shared.model.phases import Phase

_MOST_EVENTS = 200  # of an action

_COLUMNS = """
a.id, a.name, COALESCE(NULLIF(a.short_name, ''), NULLIF(a.task_name, ''), a.name) AS title,
a.created_at, COALESCE(a.ended_at, :now) AS ended_at
"""

_ROOT = statement(f"""
SELECT {_COLUMNS} FROM actions a WHERE a.org = :org AND a.id = :id
""")

# By a range, so that the planner does not expect all actions of a table with one wide run.
_CHILDREN = statement(f"""
SELECT {_COLUMNS} FROM actions a
WHERE a.org = :org AND a.parent_id >= :id AND a.parent_id <= :id AND a.created_at < :before_at
  AND COALESCE(a.ended_at, :now) <= :before_at
ORDER BY COALESCE(a.ended_at, :now) DESC, a.created_at, a.name LIMIT :most
""")

_ACTIONS = statement(f"""
{given(id="uuid")}
SELECT a.id, a.name, a.run_id, a.type, a.phase, a.created_at, a.ended_at, a.parent, a.cached_from,
       r.source, COALESCE(t.queue, r.queue) AS queue, COALESCE(t.pool, q.pool, '') AS pool
FROM n
CROSS JOIN LATERAL (SELECT * FROM actions a WHERE a.org = n.org AND a.id = n.id LIMIT 1) a
CROSS JOIN LATERAL (
    SELECT * FROM runs r WHERE r.org = n.org AND r.run_id = a.run_id LIMIT 1
) r
LEFT JOIN LATERAL (
    SELECT * FROM attempts t WHERE t.org = n.org AND t.action_id = n.id AND t.number = 1 LIMIT 1
) t ON true
LEFT JOIN queues q ON q.org = r.org AND q.queue = r.queue
""")

_ATTEMPTS = statement(f"""
{given(id="uuid")}
SELECT t.* FROM n CROSS JOIN LATERAL (
    SELECT t.action_id, t.number, t.cluster, t.available_at, t.leased_at, t.accepted_at,
           t.ended_at, t.error_code, t.error_kind, t.error_message, t.error_recoverable,
           t.error_uri
    FROM attempts t WHERE t.org = n.org AND t.action_id = n.id
    ORDER BY t.org, t.action_id, t.number LIMIT {_MOST_EVENTS}
) t
""")

_EVENTS = statement(f"""
{given(id="uuid")}
SELECT e.* FROM n CROSS JOIN LATERAL (
    SELECT e.action_id, e.attempt, e.version, e.at, e.phase, e.reason, e.message, e.events
    FROM action_events e WHERE e.org = n.org AND e.action_id = n.id
    ORDER BY e.org, e.action_id, e.attempt, e.version LIMIT {_MOST_EVENTS}
) e
ORDER BY e.action_id, e.attempt, e.version
""")


async def find_root(tx: OrgTx, run: RunId, now: datetime) -> Span | None:
    """Return the span of a run's root; None if the run does not exist."""
    row = (await tx.execute(_ROOT, {"id": run, "now": now})).one_or_none()
    return None if row is None else _span(row)


async def list_children(
    tx: OrgTx, parent: ActionId, *, before: datetime, now: datetime, most: int
) -> Sequence[Span]:
    """List the children that had ended by ``before``, the last one first."""
    values = {"id": parent, "before_at": before, "now": now, "most": most}
    return [_span(row) for row in await tx.rows(_CHILDREN, values)]


async def list_timings(
    tx: OrgTx, run: RunKey, ids: Sequence[ActionId], now: datetime
) -> Mapping[ActionId, ActionTimings]:
    """Return the timings of these actions of a run, with the pending reasons of their time."""
    await tx.plan_for(len(ids))
    actions = await tx.rows(_ACTIONS, {"id": list(ids)})
    if not actions:
        return {}
    attempts: dict[ActionId, list[Row[tuple[object, ...]]]] = defaultdict(list)
    events: dict[ActionId, list[Row[tuple[object, ...]]]] = defaultdict(list)
    for by_action, found in (
        (attempts, await tx.rows(_ATTEMPTS, {"id": list(ids)})),
        (events, await tx.rows(_EVENTS, {"id": list(ids)})),
    ):
        for row in found:
            by_action[ActionId(row.action_id)].append(row)
    dispatches = {each.action.name: each for each in await list_dispatches_of(tx, run, ids)}
    timings: dict[ActionId, ActionTimings] = {}
    scopes: set[BlockedScope] = set()
    for row in actions:
        key = ActionId(row.id)
        dispatch = dispatches.get(ActionName(row.name))
        made = ActionTimings(
            action=ActionKey(run, ActionName(row.name)),
            type=parse_enum(row.type, ActionType.UNKNOWN),
            phase=parse_enum(row.phase, Phase.UNKNOWN),
            created_at=row.created_at,
            ended_at=row.ended_at,
            is_root=row.parent is None,
            pool=dispatch.pool if dispatch else row.pool,
            queue=dispatch.queue if dispatch else row.queue,
            run=str(row.run_id),
            attempts=parse_attempts(attempts[key], events[key]),
            dispatch=dispatch,
            cached_from=parse_source(row.cached_from),
            is_tracked=row.source == RunSource.TRACKED.value,
        )
        timings[key] = made
        scopes |= set(
            blocked_scopes(pool=made.pool, queue=made.queue, run=made.run, is_root=made.is_root)
        )
        scopes |= {BlockedScope(BlockedKind.CLUSTER, name) for name in clusters_of(made.attempts)}
    since = min(each.created_at for each in timings.values())
    past = await list_past(tx, scopes, since=since, until=now)
    return {key: replace(each, past=past) for key, each in timings.items()}


def _span(row: Row[tuple[object, ...]]) -> Span:
    return Span(
        id=ActionId(row.id),
        name=ActionName(row.name),
        title=row.title,
        began_at=row.created_at,
        ended_at=max(row.ended_at, row.created_at),
    )
