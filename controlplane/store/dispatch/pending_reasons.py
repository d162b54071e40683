"""Reads the load of pools, queues and runs, and keeps the history of pending reasons."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row

from controlplane.core.pending_reasons import (
    BlockedKind,
    BlockedScope,
    OrgUse,
    PastPendingReason,
    PendingReason,
    PoolMember,
    QueueUse,
    RunCascade,
    RunUse,
)
from controlplane.core.reason_codes import Reason
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch.concurrency import IN_QUEUE, IN_RUN
from controlplane.store.resources.queues import parse_queue
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from shared.model.ids import OrgName

AT_ONCE = timedelta(seconds=10)
MOST_OF_PLACE = 2_000

_ORGS = statement("SELECT org FROM orgs WHERE erased_at IS NULL")

_MEMBERS = """
SELECT org, cluster, pool, connected,
       NOT cordoned AND draining_since IS NULL AND restored_at IS NULL AS takes_work,
       slots, seen_at, cloned, restored_at IS NOT NULL AS restored
FROM clusters
"""

_POOLS = "SELECT DISTINCT org, pool FROM queues"

# Leased actions that take no slot are told apart only where counting all would reach the limit.
_OF_QUEUE = "l.org = q.org AND l.queue = q.queue AND l.lease_id IS NOT NULL AND l.limited"
_QUEUES = f"""
SELECT q.*,
       CASE WHEN q.action_concurrency = 0 OR a.leased < q.action_concurrency THEN a.leased
            ELSE (SELECT count(*) FROM dispatches l
                  WHERE l.org = q.org AND l.queue = q.queue AND {IN_QUEUE}) END AS leased,
       a.runs
FROM queues q CROSS JOIN LATERAL (
    SELECT count(*) AS leased, count(*) FILTER (WHERE l.is_root) AS runs
    FROM dispatches l WHERE {_OF_QUEUE}
) a
WHERE (q.action_concurrency > 0 OR q.run_concurrency > 0)
"""

_RUNS = f"""
SELECT f.*, a.leased
FROM (
    SELECT r.org, r.run_id, r.max_action_concurrency
    FROM dispatches l JOIN runs r ON r.org = l.org AND r.run_id = l.run_id
    WHERE l.lease_id IS NOT NULL AND l.limited AND NOT l.is_root AND r.max_action_concurrency > 0
          {{of}}
    GROUP BY r.org, r.run_id, r.max_action_concurrency
    HAVING count(*) >= r.max_action_concurrency
) f CROSS JOIN LATERAL (
    SELECT count(*) AS leased FROM dispatches l
    WHERE l.org = f.org AND l.run_id = f.run_id AND {IN_RUN}
) a
WHERE a.leased >= f.max_action_concurrency
"""

# One marker of each run, by index: a run may have a thousand.
_CASCADES = """
SELECT r.org, r.run_id, f.name, f.created_at
FROM (SELECT DISTINCT org, run_id FROM cascades {of}) r
CROSS JOIN LATERAL (
    SELECT a.name, m.created_at FROM cascades m JOIN actions a ON a.org = m.org AND a.id = m.action_id
    WHERE m.org = r.org AND m.run_id = r.run_id ORDER BY m.org, m.run_id, m.action_id LIMIT 1
) f
"""

_FLEET = tuple(
    statement(source)
    for source in (_MEMBERS, _POOLS, _QUEUES, _RUNS.format(of=""), _CASCADES.format(of=""))
)
_ORG = tuple(
    statement(source)
    for source in (
        f"{_MEMBERS} WHERE org = :org",
        f"{_POOLS} WHERE org = :org",
        f"{_QUEUES} AND q.org = :org",
        _RUNS.format(of="AND l.org = :org AND l.run_id = ANY(CAST(:run_ids AS uuid[]))"),
        _CASCADES.format(of="WHERE org = :org AND run_id = ANY(CAST(:run_ids AS uuid[]))"),
    )
)

_ALONE = statement("SELECT pg_try_advisory_xact_lock(hashtext('volary obstacles')) AS alone")

_THERE = statement("SELECT * FROM obstacles WHERE ended_at IS NULL")

_END = statement(f"""
{given(org="text", scope="smallint", name="text")}
UPDATE obstacles o SET ended_at = GREATEST(:now, o.began_at)
FROM n WHERE o.org = n.org AND o.scope = n.scope AND o.name = n.name AND o.ended_at IS NULL
""")

# A pending reason that returns within moments is continued, not begun again: a busy pool counts
# as full, though a slot is free now and then. Only the latest is continued: where a clock was set
# back there may be two recent ones.
_RESUME = statement(f"""
{given(org="text", scope="smallint", name="text", reason="text")}
UPDATE obstacles o SET ended_at = NULL
FROM n WHERE o.org = n.org AND o.scope = n.scope AND o.name = n.name AND o.reason = n.reason
  AND o.ended_at > :ended_at
  AND o.began_at = (SELECT max(l.began_at) FROM obstacles l
                    WHERE l.org = n.org AND l.scope = n.scope AND l.name = n.name)
RETURNING o.org, o.scope, o.name
""")

_START = statement(f"""
{given(
    org="text", scope="smallint", name="text", began_at_="timestamptz", reason="text",
    message="text",
)}
INSERT INTO obstacles (org, scope, name, began_at, reason, message)
SELECT n.org, n.scope, n.name, n.began_at, n.reason, n.message FROM n ON CONFLICT DO NOTHING
""")  # fmt: skip

_FORGET = statement("DELETE FROM obstacles WHERE ended_at < :ended_at")

_PAST = statement(f"""
{given(scope="smallint", name="text")}
SELECT p.* FROM n CROSS JOIN LATERAL (
    SELECT o.* FROM obstacles o
    WHERE o.org = n.org AND o.scope = n.scope AND o.name = n.name
      AND o.began_at < :until_at AND (o.ended_at IS NULL OR o.ended_at > :since_at)
    ORDER BY o.org, o.scope, o.name, o.began_at LIMIT {MOST_OF_PLACE}
) p
""")


async def be_alone(tx: FleetTx) -> bool:
    """Try to lock the history until commit; False if another transaction has the lock."""
    return bool((await tx.connection.execute(_ALONE)).one().alone)


async def read_uses(tx: FleetTx) -> Sequence[OrgUse]:
    """Read the load of every org's clusters, queues and runs."""
    orgs = [OrgName(row.org) for row in (await tx.connection.execute(_ORGS)).all()]
    found = [(await tx.connection.execute(made)).all() for made in _FLEET]
    by_org = [_by_org(rows) for rows in found]
    return [_use(org, [rows.get(org, []) for rows in by_org]) for org in orgs]


async def read_use(tx: OrgTx, runs: Collection[str]) -> OrgUse:
    """Read the load of an org's clusters and queues, and of these of its runs."""
    return _use(tx.org, [await tx.rows(made, {"run_ids": sorted(runs)}) for made in _ORG])


async def list_there(tx: FleetTx) -> Mapping[tuple[OrgName, BlockedScope], PastPendingReason]:
    """List the recorded pending reasons that have not ended."""
    rows = (await tx.connection.execute(_THERE)).all()
    past = ((OrgName(row.org), _parse_past(row)) for row in rows)
    return {(org, each.blocked): each for org, each in past}


async def end(tx: FleetTx, ended: Collection[tuple[OrgName, BlockedScope]], now: datetime) -> None:
    """Record that these pending reasons have ended."""
    await tx.connection.execute(_END, {**_scope_arrays(ended), "now": now})


async def start(
    tx: FleetTx, new: Mapping[tuple[OrgName, BlockedScope], PendingReason], now: datetime
) -> None:
    """Record that these pending reasons hold now."""
    reasons = [pending.reason.value for pending in new.values()]
    rows = await tx.connection.execute(
        _RESUME, {**_scope_arrays(new), "reason": reasons, "ended_at": now - AT_ONCE}
    )
    back = {
        (OrgName(row.org), BlockedScope(parse_enum(row.scope, BlockedKind.UNKNOWN), row.name))
        for row in rows.all()
    }
    others = {key: pending for key, pending in new.items() if key not in back}
    await tx.connection.execute(
        _START,
        {
            **_scope_arrays(others),
            "began_at_": [pending.since or now for pending in others.values()],
            "reason": [pending.reason.value for pending in others.values()],
            "message": [pending.message for pending in others.values()],
        },
    )


async def forget(tx: FleetTx, ended_before: datetime) -> int:
    """Delete pending reasons that ended before then; return how many."""
    return (await tx.connection.execute(_FORGET, {"ended_at": ended_before})).rowcount


async def list_past(
    tx: OrgTx, blocked_scopes: Collection[BlockedScope], *, since: datetime, until: datetime
) -> Sequence[PastPendingReason]:
    """List the pending reasons of these scopes in that period."""
    rows = await tx.rows(
        _PAST,
        {
            "scope": [blocked.kind.value for blocked in blocked_scopes],
            "name": [blocked.name for blocked in blocked_scopes],
            "since_at": since,
            "until_at": until,
        },
    )
    return [_parse_past(row) for row in rows]


_Rows = Sequence[Row[tuple[object, ...]]]


def _by_org(rows: _Rows) -> Mapping[OrgName, list[Row[tuple[object, ...]]]]:
    by_org: dict[OrgName, list[Row[tuple[object, ...]]]] = defaultdict(list)
    for row in rows:
        by_org[OrgName(row.org)].append(row)
    return by_org


def _use(org: OrgName, found: Sequence[_Rows]) -> OrgUse:
    members, pools, queues, runs, cascades = found
    return OrgUse(
        org=org,
        members=[
            PoolMember(
                cluster=row.cluster,
                pool=row.pool,
                connected=row.connected,
                takes_work=row.takes_work,
                slots=row.slots,
                seen_at=row.seen_at,
                cloned=row.cloned,
                restored=row.restored,
            )
            for row in members
        ],
        pools=[row.pool for row in pools],
        queues=[
            QueueUse(queue=parse_queue(row), leased=row.leased, runs=row.runs) for row in queues
        ],
        runs=[
            RunUse(run=str(row.run_id), limit=row.max_action_concurrency, leased=row.leased)
            for row in runs
        ],
        cascades=[
            RunCascade(run=str(row.run_id), action=row.name, since=row.created_at)
            for row in cascades
        ],
    )


def _scope_arrays(blocked_scopes: Collection[tuple[OrgName, BlockedScope]]) -> dict[str, object]:
    return {
        "org": [org for org, _ in blocked_scopes],
        "scope": [blocked.kind.value for _, blocked in blocked_scopes],
        "name": [blocked.name for _, blocked in blocked_scopes],
    }


def _parse_past(row: Row[tuple[object, ...]]) -> PastPendingReason:
    return PastPendingReason(
        blocked=BlockedScope(parse_enum(row.scope, BlockedKind.UNKNOWN), row.name),
        reason=parse_enum(row.reason, Reason.UNKNOWN),
        message=row.message,
        began_at=row.began_at,
        ended_at=row.ended_at,
    )
