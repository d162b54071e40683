"""Reads an action's timings: attempts, history, and position among the waiting actions."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.action_timings import (
    MOST_AHEAD,
    ActionTimings,
    Ahead,
    AttemptTimings,
    DispatchTimings,
    RefusedReport,
    ReportedEvent,
    ReturnedLease,
    blocked_scopes,
)
from controlplane.core.actions import ActionType, RunSource
from controlplane.core.pending_reasons import BlockedKind, BlockedScope
from controlplane.core.reason_codes import LEASE_RETURNED, REPORT_REFUSED
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.pending_reasons import list_past
from controlplane.store.dispatch.refused_reports import parse_refused
from controlplane.store.rows import parse_enum, parse_failure, parse_source
from controlplane.store.statements import given, statement
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    DomainName,
    ProjectName,
    RunId,
    RunKey,
    RunName,
)
from shared.model.phases import Phase

_REPORTED = """
LEFT JOIN LATERAL (
    SELECT e.at, e.phase, e.reason, e.message FROM action_events e
    WHERE e.org = d.org AND e.action_id = d.action_id AND e.attempt = d.attempt AND e.version > 0
    ORDER BY e.org, e.action_id, e.attempt, e.version DESC LIMIT 1
) said ON d.lease_id IS NOT NULL
"""

_DISPATCH_COLUMNS = """
d.action_id, d.run_id, d.attempt, d.is_root, d.pool, d.queue, d.available_at, d.cluster,
d.leased_at, d.accepted_at, d.stop_at, d.stop_reason,
said.at AS said_at, said.phase AS said_phase, said.reason AS said_reason,
said.message AS said_message
"""

# For an ended action the queue and pool come from its attempts, or else from its run.
_ACTION = statement("""
SELECT a.id, a.run_id, a.type, a.phase, a.created_at, a.ended_at, a.parent, a.abort_reason,
       a.aborted_by, a.error_code, a.error_kind, a.error_message, a.error_recoverable,
       a.error_uri, COALESCE(t.queue, r.queue) AS queue, COALESCE(t.pool, q.pool, '') AS pool,
       a.cached_from, r.project, r.domain, r.source, e.run AS equal_run, e.name AS equal_name
FROM actions a
JOIN runs r ON r.org = a.org AND r.run_id = a.run_id
LEFT JOIN attempts t ON t.org = a.org AND t.action_id = a.id AND t.number = 1
LEFT JOIN queues q ON q.org = r.org AND q.queue = r.queue
LEFT JOIN LATERAL (
    SELECT o.name, s.run
    FROM cache_waiters w
    JOIN cache_reservations v ON v.org = w.org AND v.key = w.key AND v.project = w.project
                             AND v.domain = w.domain
    JOIN actions o ON o.org = v.org AND o.id = v.action_id
    JOIN runs s ON s.org = o.org AND s.run_id = o.run_id
    WHERE w.org = a.org AND w.action_id = a.id
) e ON true
WHERE a.org = :org AND a.run_id = :run_id AND a.name = :name
""")

_DISPATCH = statement(f"""
SELECT {_DISPATCH_COLUMNS}, a.name, a.phase
FROM dispatches d JOIN actions a ON a.org = d.org AND a.id = d.action_id {_REPORTED}
WHERE d.org = :org AND d.action_id = :id
""")

_ATTEMPTS = statement("""
SELECT number, cluster, available_at, leased_at, accepted_at, ended_at, error_code, error_kind,
       error_message, error_recoverable, error_uri
FROM attempts WHERE org = :org AND action_id = :id ORDER BY number LIMIT 2000
""")

_EVENTS = statement("""
SELECT attempt, version, at, phase, reason, message, events
FROM action_events WHERE org = :org AND action_id = :id ORDER BY attempt, version LIMIT 5000
""")

# A run's part of each sub-queue: a few index probes, however many other runs wait. The next
# sub-queue is the next of its priority, or the first of the next lower, or of the next pool.
_KEY = "d.pool, d.priority, d.limited, d.queue, d.is_root"
_FIRST = """
SELECT {key}, {step} AS step FROM dispatches d
WHERE d.org = :org AND d.lease_id IS NULL {which}
ORDER BY d.org, d.pool, d.priority DESC, d.limited, d.queue, d.is_root LIMIT 1
"""
_NEXT = " UNION ALL ".join(
    f"({_FIRST.format(key=_KEY, step=step, which=f'AND {which}')})"
    for step, which in enumerate(
        [
            """d.pool = l.pool AND d.priority = l.priority
               AND (d.limited, d.queue, d.is_root) > (l.limited, l.queue, l.is_root)""",
            "d.pool = l.pool AND d.priority < l.priority",
            "d.pool > l.pool",
        ]
    )
)
_OF_RUN = statement(f"""
WITH RECURSIVE lanes AS (
    ({_FIRST.format(key=_KEY, step=0, which="")})
  UNION ALL
    SELECT n.* FROM lanes l CROSS JOIN LATERAL (
        SELECT * FROM ({_NEXT}) u ORDER BY step LIMIT 1
    ) n
), found AS MATERIALIZED (
    (SELECT d.org, d.action_id FROM dispatches d
     WHERE d.org = :org AND d.run_id = :run_id AND d.lease_id IS NOT NULL LIMIT :most)
  UNION ALL
    (SELECT w.* FROM lanes l CROSS JOIN LATERAL (
        SELECT d.org, d.action_id FROM dispatches d
        WHERE d.org = :org AND d.lease_id IS NULL AND d.pool = l.pool AND d.priority = l.priority
          AND d.limited = l.limited AND d.queue = l.queue AND d.is_root = l.is_root
          AND d.run_id = :run_id
        LIMIT :most
    ) w LIMIT :most)
)
SELECT {_DISPATCH_COLUMNS}, a.name, a.phase
FROM found f
JOIN dispatches d ON d.org = f.org AND d.action_id = f.action_id
JOIN actions a ON a.org = d.org AND a.id = d.action_id {_REPORTED}
LIMIT :most
""")

EXAMINED = 5_000
"""Actions that one page reads to find those that have not ended."""

_PAGE_OF_RUN = statement(f"""
WITH page AS MATERIALIZED (
    SELECT a.org, a.id, a.name, a.phase FROM actions a
    WHERE a.org = :org AND a.run_id = :run_id AND a.name > :after
    ORDER BY a.org, a.run_id, a.name LIMIT :examined
), found AS MATERIALIZED (
    SELECT p.name, p.phase, d.* FROM page p
    CROSS JOIN LATERAL (
        SELECT * FROM dispatches d WHERE d.org = p.org AND d.action_id = p.id LIMIT 1
    ) d
    ORDER BY p.name LIMIT :most
)
SELECT {_DISPATCH_COLUMNS}, d.name, d.phase, page.examined, page.last
FROM (SELECT count(*) AS examined, max(name) AS last FROM page) page
LEFT JOIN found d ON true {_REPORTED}
ORDER BY d.name
""")

# Serialized actions that wait have no dispatch; those of the same page of actions.
_WAITERS_OF_PAGE = statement("""
WITH page AS MATERIALIZED (
    SELECT a.org, a.id, a.name, a.phase FROM actions a
    WHERE a.org = :org AND a.run_id = :run_id AND a.name > :after
    ORDER BY a.org, a.run_id, a.name LIMIT :examined
)
SELECT p.name, p.phase, o.name AS equal_name, s.project, s.domain, s.run AS equal_run
FROM page p
CROSS JOIN LATERAL (
    SELECT * FROM cache_waiters w WHERE w.org = p.org AND w.action_id = p.id LIMIT 1
) w
CROSS JOIN LATERAL (
    SELECT v.action_id FROM cache_reservations v
    WHERE v.org = w.org AND v.key = w.key AND v.project = w.project AND v.domain = w.domain LIMIT 1
) v
CROSS JOIN LATERAL (
    SELECT * FROM actions o WHERE o.org = p.org AND o.id = v.action_id LIMIT 1
) o
CROSS JOIN LATERAL (SELECT * FROM runs s WHERE s.org = o.org AND s.run_id = o.run_id LIMIT 1) s
ORDER BY p.name LIMIT :most
""")

_OF_ACTIONS = statement(f"""
{given(id="uuid")}
SELECT {_DISPATCH_COLUMNS}, a.name, a.phase
FROM n
CROSS JOIN LATERAL (
    SELECT * FROM dispatches d WHERE d.org = n.org AND d.action_id = n.id LIMIT 1
) d
CROSS JOIN LATERAL (SELECT * FROM actions a WHERE a.org = d.org AND a.id = n.id LIMIT 1) a
{_REPORTED}
""")

_COUNT = f"""
SELECT count(*) FROM (
    SELECT 1 FROM dispatches d
    WHERE d.org = m.org AND d.pool = m.pool AND d.lease_id IS NULL AND {{which}}
    LIMIT {MOST_AHEAD + 1}
) c
"""
_DISPATCH_OF = """
d.priority = m.priority AND d.limited = m.limited AND d.queue = m.queue AND d.is_root = m.is_root
AND d.run_id = m.run_id AND (d.available_at, d.action_id) < (m.available_at, m.action_id)
"""
_AHEAD = statement(f"""
SELECT ({_COUNT.format(which="d.priority > m.priority")}) AS of_higher_priority,
       ({_COUNT.format(which=_DISPATCH_OF)}) AS of_its_run,
       ({_COUNT.format(which="d.priority = m.priority AND d.run_id <> m.run_id")}) AS beside_it
FROM dispatches m WHERE m.org = :org AND m.action_id = :id AND m.lease_id IS NULL
""")


async def find_timings(
    tx: OrgTx, run: RunId, action: ActionKey, now: datetime
) -> tuple[ActionTimings, Ahead | None] | None:
    """Return an action's timings and, if it waits, the work that starts before it."""
    row = (await tx.execute(_ACTION, {"run_id": run, "name": action.name})).one_or_none()
    if row is None:
        return None
    of = {"id": row.id}
    attempts = parse_attempts(await tx.rows(_ATTEMPTS, of), await tx.rows(_EVENTS, of))
    waiting = await tx.rows(_AHEAD, of)
    dispatch = next(
        (_parse_dispatch(each, action.run) for each in await tx.rows(_DISPATCH, of)), None
    )
    pool, queue = (dispatch.pool, dispatch.queue) if dispatch else (row.pool, row.queue)
    where = {
        *blocked_scopes(pool=pool, queue=queue, run=str(run), is_root=row.parent is None),
        *(BlockedScope(BlockedKind.CLUSTER, cluster) for cluster in clusters_of(attempts)),
    }
    timings = ActionTimings(
        action=action,
        type=parse_enum(row.type, ActionType.UNKNOWN),
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        created_at=row.created_at,
        ended_at=row.ended_at,
        failure=parse_failure(row),
        abort_reason=row.abort_reason,
        aborted_by=row.aborted_by,
        is_root=row.parent is None,
        pool=pool,
        queue=queue,
        run=str(run),
        attempts=attempts,
        dispatch=dispatch,
        past=await list_past(tx, where, since=row.created_at, until=row.ended_at or now),
        waits_for=_equal_action(row),
        cached_from=parse_source(row.cached_from),
        is_tracked=row.source == RunSource.TRACKED.value,
    )
    if not waiting:
        return timings, None
    found = waiting[0]
    return timings, Ahead(
        of_higher_priority=found.of_higher_priority,
        of_its_run=found.of_its_run,
        beside_it=found.beside_it,
    )


async def list_dispatches(
    tx: OrgTx, run_id: RunId, run: RunKey, *, most: int
) -> Sequence[DispatchTimings]:
    """List the run's dispatches: the leased ones first, then the waiting ones."""
    rows = await tx.rows(_OF_RUN, {"run_id": run_id, "most": most})
    return [_parse_dispatch(row, run) for row in rows]


async def list_dispatches_page(
    tx: OrgTx, run_id: RunId, run: RunKey, *, after: str, most: int, examined: int = EXAMINED
) -> tuple[Sequence[DispatchTimings], str]:
    """
    List the run's dispatches by the names of their actions, and where the next page begins.

    A page may be empty before the last, which has "": it reads ``examined`` actions at most.
    """
    values = {"run_id": run_id, "after": after, "most": most, "examined": examined}
    rows = await tx.rows(_PAGE_OF_RUN, values)
    found = [_parse_dispatch(row, run) for row in rows if row.name is not None]
    if len(found) == most:
        return found, rows[-1].name
    return found, rows[0].last if rows[0].examined == examined else ""


async def list_waiters_page(
    tx: OrgTx, run_id: RunId, run: RunKey, *, after: str, most: int, examined: int = EXAMINED
) -> Sequence[tuple[ActionKey, Phase, ActionKey]]:
    """List actions of the same page that wait for an equal one, which is the last of each three."""
    values = {"run_id": run_id, "after": after, "most": most, "examined": examined}
    waiting = []
    for row in await tx.rows(_WAITERS_OF_PAGE, values):
        equal = _equal_action(row)
        if equal is not None:
            action = ActionKey(run, ActionName(row.name))
            waiting.append((action, parse_enum(row.phase, Phase.UNKNOWN), equal))
    return waiting


async def list_dispatches_of(
    tx: OrgTx, run: RunKey, ids: Sequence[ActionId]
) -> Sequence[DispatchTimings]:
    """List the dispatches of these actions of a run; one that has ended has none."""
    await tx.plan_for(len(ids))
    rows = await tx.rows(_OF_ACTIONS, {"id": list(ids)})
    return [_parse_dispatch(row, run) for row in rows]


def _equal_action(row: Row[tuple[object, ...]]) -> ActionKey | None:
    """Return the equal action that this one waits for, which is in the same project and domain."""
    if row.equal_name is None:
        return None
    run = RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.equal_run))
    return ActionKey(run, ActionName(row.equal_name))


def clusters_of(attempts: Sequence[AttemptTimings]) -> set[str]:
    return {
        cluster
        for attempt in attempts
        for cluster in (attempt.cluster, *(lease.cluster for lease in attempt.returned))
    }


def parse_attempts(
    attempts: Sequence[Row[tuple[object, ...]]], events: Sequence[Row[tuple[object, ...]]]
) -> Sequence[AttemptTimings]:
    reported: dict[int, list[ReportedEvent]] = defaultdict(list)
    returned: dict[int, list[ReturnedLease]] = defaultdict(list)
    refused: dict[int, list[RefusedReport]] = defaultdict(list)
    for event in events:
        if event.reason == REPORT_REFUSED:
            refused[event.attempt].append(parse_refused(event))
        elif event.reason == LEASE_RETURNED:
            leased_at = datetime.fromisoformat(event.events[0]["at"])
            returned[event.attempt].append(
                ReturnedLease(cluster=event.message, leased_at=leased_at, returned_at=event.at)
            )
        else:
            reported[event.attempt].append(_parse_reported(event))
    return [
        AttemptTimings(
            number=row.number,
            cluster=row.cluster,
            available_at=row.available_at,
            leased_at=row.leased_at,
            accepted_at=row.accepted_at,
            ended_at=row.ended_at,
            failure=parse_failure(row),
            reported=reported[row.number],
            returned=returned[row.number],
            refused=refused[row.number],
        )
        for row in attempts
    ]


def _parse_reported(event: Row[tuple[object, ...]]) -> ReportedEvent:
    return ReportedEvent(
        at=event.at,
        phase=parse_enum(event.phase, Phase.UNKNOWN),
        reason=event.reason,
        message=event.message,
    )


def _parse_dispatch(row: Row[tuple[object, ...]], run: RunKey) -> DispatchTimings:
    return DispatchTimings(
        action=ActionKey(run, ActionName(row.name)),
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        attempt=row.attempt,
        is_root=row.is_root,
        pool=row.pool,
        queue=row.queue,
        run=str(row.run_id),
        available_at=row.available_at,
        cluster=row.cluster,
        leased_at=row.leased_at,
        accepted_at=row.accepted_at,
        stop_at=row.stop_at,
        stop_reason=row.stop_reason,
        reported=None
        if row.said_at is None
        else ReportedEvent(
            at=row.said_at,
            phase=parse_enum(row.said_phase, Phase.UNKNOWN),
            reason=row.said_reason,
            message=row.said_message,
        ),
    )
