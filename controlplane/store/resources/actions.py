"""Reads actions: details, pages, changes, children and attempts; answers conditions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict

from sqlalchemy import Row

from controlplane.core.actions import (
    ActionDetail,
    ActionRow,
    ActionType,
    AttemptDetail,
    PhaseChange,
    SpecKind,
)
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import lock_runs, notify
from controlplane.store.phase_guards import may_become
from controlplane.store.rows import (
    ACTION_COLUMNS,
    parse_action,
    parse_enum,
    parse_failure,
    parse_log_links,
)
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, ActionName, RunId
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import ClusterEvent, EventType

_FROM = "FROM actions a JOIN runs r ON r.org = a.org AND r.run_id = a.run_id"

_CHANGED = statement(f"""
SELECT {ACTION_COLUMNS} {_FROM}
WHERE a.org = :org AND a.run_id = :run_id AND a.change > :after
ORDER BY a.org, a.run_id, a.change LIMIT :most
""")

_CHILDREN = statement(f"""
SELECT {ACTION_COLUMNS} {_FROM}
WHERE a.org = :org AND a.name > :after AND a.parent_id = (
    SELECT p.id FROM actions p
    WHERE p.org = :org AND p.run_id = :run_id AND p.name = :parent
)
ORDER BY a.org, a.parent_id, a.name LIMIT :most
""")

_ROOTS = statement(f"""
{given(id="uuid")}
SELECT {ACTION_COLUMNS} FROM n
CROSS JOIN LATERAL (SELECT * FROM actions a WHERE a.org = n.org AND a.id = n.id LIMIT 1) a
CROSS JOIN LATERAL (
    SELECT * FROM runs r WHERE r.org = a.org AND r.run_id = a.run_id LIMIT 1
) r
""")

_DETAIL = statement(f"""
SELECT {ACTION_COLUMNS}, a.input_uri, s.kind, s.body,
       COALESCE((SELECT d.queue FROM dispatches d WHERE d.org = a.org AND d.action_id = a.id),
                (SELECT t.queue FROM attempts t
                 WHERE t.org = a.org AND t.action_id = a.id AND t.number = a.attempts), '') AS queue
{_FROM} JOIN specs s ON s.org = a.org AND s.digest = a.spec
WHERE a.org = :org AND a.run_id = :run_id AND a.name = :name
""")

_ATTEMPTS = statement("""
SELECT number, cluster, phase, leased_at, started_at, ended_at, reason, message, error_code,
       error_kind, error_message, error_recoverable, error_uri, output_uri, report_uri, log_uri,
       log_links
FROM attempts WHERE org = :org AND action_id = :id ORDER BY number
""")

_EVENTS = statement("""
SELECT attempt, version, at, phase, reason, message, events
FROM action_events WHERE org = :org AND action_id = :id ORDER BY attempt, version LIMIT 2000
""")

_SIGNAL = statement(f"""
UPDATE actions a
SET phase = {Phase.SUCCEEDED.value}, value = :value, signalled_by = :by, ended_at = :now,
    updated_at = :now, change = :change
WHERE a.org = :org AND a.run_id = :run_id AND a.name = :name AND a.type = {ActionType.CONDITION.value}
  AND {may_become("a.phase", str(Phase.SUCCEEDED.value))}
RETURNING a.id
""")


class _ReportedEvent(TypedDict):
    at: str
    reason: str
    message: str
    type: NotRequired[int]  # none of earlier releases
    count: NotRequired[int]
    source: NotRequired[str]


async def list_changed(tx: OrgTx, run: RunId, *, after: int, most: int) -> Sequence[ActionRow]:
    """List the run's actions whose latest change number is above ``after``, in that order."""
    rows = await tx.rows(_CHANGED, {"run_id": run, "after": after, "most": most})
    return [parse_action(row) for row in rows]


async def list_children(
    tx: OrgTx, run: RunId, parent: ActionName, *, after: str, most: int
) -> Sequence[ActionRow]:
    """List the children of an action by name, from after ``after`` on."""
    rows = await tx.rows(_CHILDREN, {"run_id": run, "parent": parent, "after": after, "most": most})
    return [parse_action(row) for row in rows]


async def list_roots(tx: OrgTx, runs: Sequence[RunId]) -> Sequence[ActionRow]:
    """List the root actions of these runs, newest first."""
    await tx.plan_for(len(runs))
    rows = await tx.rows(_ROOTS, {"id": list(runs)})
    return sorted((parse_action(row) for row in rows), key=lambda row: row.created_at, reverse=True)


async def find_detail(tx: OrgTx, run: RunId, name: ActionName) -> ActionDetail | None:
    """Return everything about one action."""
    row = (await tx.execute(_DETAIL, {"run_id": run, "name": name})).one_or_none()
    if row is None:
        return None
    action = parse_action(row)
    attempts = await list_attempts(tx, action.id) if action.type is ActionType.TASK else []
    return ActionDetail(
        row=action,
        input_uri=row.input_uri,
        spec_kind=parse_enum(row.kind, SpecKind.UNKNOWN),
        spec=row.body,
        queue=row.queue,
        attempts=attempts,
    )


async def list_attempts(tx: OrgTx, action: ActionId) -> Sequence[AttemptDetail]:
    """List an action's attempts, each with its events."""
    events = await _events_by_attempt(tx, action)
    return [
        _parse_attempt(attempt, events.get(attempt.number, []))
        for attempt in await tx.rows(_ATTEMPTS, {"id": action})
    ]


async def signal(
    tx: OrgTx, run: RunId, name: ActionName, *, value: bytes, by: str, now: datetime
) -> bool:
    """Answer a condition with a value; False if it no longer waits for one."""
    counters = await lock_runs(tx, [run])
    rows = await tx.rows(
        _SIGNAL,
        {
            "run_id": run,
            "name": name,
            "value": value,
            "by": by,
            "change": counters.next(run),
            "now": now,
        },
    )
    if not rows:
        return False
    await notify(tx, counters)
    return True


async def _events_by_attempt(
    tx: OrgTx, action: ActionId
) -> Mapping[int, Sequence[Row[tuple[object, ...]]]]:
    events: dict[int, list[Row[tuple[object, ...]]]] = {}
    for row in await tx.rows(_EVENTS, {"id": action}):
        events.setdefault(row.attempt, []).append(row)
    return events


def _parse_attempt(
    row: Row[tuple[object, ...]], events: Sequence[Row[tuple[object, ...]]]
) -> AttemptDetail:
    phase = parse_enum(row.phase, Phase.UNKNOWN)
    return AttemptDetail(
        number=row.number,
        phase=phase,
        cluster=row.cluster,
        started_at=row.started_at or row.leased_at,
        ended_at=row.ended_at,
        failure=parse_failure(row),
        output_uri=row.output_uri,
        report_uri=row.report_uri,
        log_uri=row.log_uri,
        log_links=parse_log_links(row),
        # A program that reports its run keeps its logs.
        logs_available=bool(row.log_uri) or (phase is Phase.RUNNING and bool(row.cluster)),
        transitions=_transitions(row, events),
        events=[
            ClusterEvent(
                at=datetime.fromisoformat(reported["at"]),
                reason=reported["reason"],
                message=reported["message"],
                type=parse_enum(reported.get("type", 0), EventType.UNKNOWN),
                count=reported.get("count", 1),
                source=reported.get("source", ""),
            )
            for event in events
            for reported in _reported_events(event)
        ],
    )


def _reported_events(event: Row[tuple[object, ...]]) -> Sequence[_ReportedEvent]:
    reported: Sequence[_ReportedEvent] = event.events
    return reported


def _transitions(
    row: Row[tuple[object, ...]], events: Sequence[Row[tuple[object, ...]]]
) -> Sequence[PhaseChange]:
    """Return when the attempt entered and left each phase; it begins QUEUED, when leased."""
    entered: list[tuple[Phase, datetime]] = [(Phase.QUEUED, row.leased_at)]
    for event in events:
        phase = parse_enum(event.phase, Phase.UNKNOWN)
        if phase is not entered[-1][0] and entered[-1][0] not in TERMINAL:
            entered.append((phase, max(event.at, entered[-1][1])))
    left_at = [at for _, at in entered[1:]]
    ends: list[datetime | None] = [*left_at, row.ended_at]
    return [
        PhaseChange(phase=phase, started_at=at, ended_at=end)
        for (phase, at), end in zip(entered, ends, strict=True)
    ]
