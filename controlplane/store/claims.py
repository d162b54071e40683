"""
Claiming: waiting attempts become leases of a cluster.

Whose turn it is decides ``core.turns``; here it is looked up who waits, and what was dealt
is leased in one statement, so that any number of replicas may claim at once and each row
goes to one of them (``SKIP LOCKED``). Where limits must be counted, one claims at a time
in an org, because two who count at once would both find room.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.layout import output_prefix, raw_data_prefix
from controlplane.core.turns import Lane, QueueRoom, Rotation, Stretch, Turn, is_open, share
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_key
from controlplane.store.statements import given, statement
from shared.model.assignments import Assignment
from shared.model.ids import ActionName, AttemptId, ClusterName, Digest, LeaseId, RunId
from shared.model.phases import Phase

LOOK = 100
"""How many turns are looked at, at least; the next round goes on where this one ended."""

_ORDER = "d.org, d.pool, d.urgency, d.limited, d.queue, d.is_root, d.run_id, d.available_at"
_WAITS = "d.org = :org AND d.pool = :pool AND d.lease_id IS NULL"

# The lanes of the most urgent level, one index probe for each: not a scan of what waits.
_LANES = statement(f"""
WITH RECURSIVE lanes AS (
    (SELECT d.urgency, d.limited, d.queue, d.is_root FROM dispatches d
     WHERE {_WAITS} AND d.urgency > :beyond
     ORDER BY {_ORDER} LIMIT 1)
  UNION ALL
    SELECT n.* FROM lanes l CROSS JOIN LATERAL (
        SELECT d.urgency, d.limited, d.queue, d.is_root FROM dispatches d
        WHERE {_WAITS} AND d.urgency = l.urgency
          AND (d.limited, d.queue, d.is_root) > (l.limited, l.queue, l.is_root)
        ORDER BY {_ORDER} LIMIT 1
    ) n
)
SELECT urgency, limited, queue, is_root FROM lanes LIMIT 5000
""")

# The runs of each stretch, in order, and when the first of their actions may be leased.
_TURN = f"""
SELECT d.run_id, d.available_at FROM dispatches d
WHERE {_WAITS} AND d.urgency = :urgency AND d.limited = n.limited AND d.queue = n.queue
  AND d.is_root = n.is_root AND d.run_id > {{after}} AND d.run_id <= n.until
ORDER BY {_ORDER} LIMIT 1
"""
_TURNS = statement(f"""
{given(limited="boolean", queue="text", is_root="boolean", after="uuid", until="uuid")}
SELECT n.limited, n.queue, n.is_root, t.run_id, t.available_at
FROM n CROSS JOIN LATERAL (
    WITH RECURSIVE turns AS (
        ({_TURN.format(after="n.after")})
      UNION ALL
        SELECT x.* FROM turns b CROSS JOIN LATERAL ({_TURN.format(after="b.run_id")}) x
    )
    SELECT run_id, available_at FROM turns
) t
LIMIT :look
""")

_LOCK_LIMITS = statement("SELECT 1 FROM orgs WHERE org = :org FOR NO KEY UPDATE")

_LEASED = "l.org = n.org AND l.lease_id IS NOT NULL AND l.limited"
_QUEUE_ROOMS = statement(f"""
{given(queue="text")}
SELECT q.queue,
       CASE WHEN q.action_concurrency > 0 THEN q.action_concurrency - (
           SELECT count(*) FROM dispatches l WHERE {_LEASED} AND l.queue = n.queue
       ) END AS actions,
       CASE WHEN q.run_concurrency > 0 THEN q.run_concurrency - (
           SELECT count(*) FROM dispatches l WHERE {_LEASED} AND l.queue = n.queue AND l.is_root
       ) END AS runs
FROM n JOIN queues q ON q.org = n.org AND q.queue = n.queue
""")

_RUN_ROOMS = statement(f"""
{given(run_id="uuid")}
SELECT r.run_id, r.max_action_concurrency - (
    SELECT count(*) FROM dispatches l WHERE {_LEASED} AND l.run_id = n.run_id AND NOT l.is_root
) AS actions
FROM n JOIN runs r ON r.org = n.org AND r.run_id = n.run_id
WHERE r.max_action_concurrency > 0
""")

_LEASE = statement(f"""
{given(limited="boolean", queue="text", is_root="boolean", run_id="uuid", places="integer")},
picked AS MATERIALIZED (
    SELECT p.* FROM n CROSS JOIN LATERAL (
        SELECT d.org, d.action_id FROM dispatches d
        WHERE {_WAITS} AND d.urgency = :urgency AND d.limited = n.limited AND d.queue = n.queue
          AND d.is_root = n.is_root AND d.run_id = n.run_id AND d.available_at <= :now
        ORDER BY {_ORDER}, d.action_id LIMIT n.places FOR UPDATE SKIP LOCKED
    ) p
), leased AS (
    UPDATE dispatches d
    SET lease_id = gen_random_uuid(), cluster = :cluster, leased_at = :now, accepted_at = NULL
    FROM picked p WHERE d.org = p.org AND d.action_id = p.action_id
    RETURNING d.org, d.action_id, d.run_id, d.attempt, d.lease_id, d.queue, d.pool,
              d.available_at
), begun AS (
    INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, queue, pool,
                          available_at, leased_at)
    SELECT org, action_id, attempt, lease_id, :cluster, {Phase.QUEUED.value}, queue, pool,
           available_at, :now
    FROM leased
    ON CONFLICT (org, action_id, number)
    DO UPDATE SET lease_id = EXCLUDED.lease_id, cluster = EXCLUDED.cluster,
                  queue = EXCLUDED.queue, pool = EXCLUDED.pool, leased_at = EXCLUDED.leased_at
)
SELECT l.action_id, l.attempt, l.lease_id, a.name, a.parent, a.task_type, a.spec, a.input_uri,
       r.project, r.domain, r.run, r.run_spec, r.run_base, r.raw_data_base, r.started_at,
       s.replaceable
FROM leased l
JOIN actions a ON a.org = l.org AND a.id = l.action_id
JOIN runs r ON r.org = l.org AND r.run_id = l.run_id
JOIN specs s ON s.org = l.org AND s.digest = a.spec
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What was leased; when nothing was, then when it is worth to look again (None: if rung)."""

    assignments: Sequence[Assignment] = ()
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Claimant:
    """Who claims, and when."""

    tx: OrgTx
    cluster: ClusterName
    pool: str
    now: datetime


async def claim(
    tx: OrgTx,
    cluster: ClusterName,
    pool: str,
    *,
    rotation: Rotation,
    most: int,
    now: datetime,
) -> Claimed:
    """
    Lease up to ``most`` waiting attempts of ``pool`` to ``cluster``; opens their attempts.

    Of the most urgent that may go, and of those only: ask again for what comes after.
    """
    claimant = _Claimant(tx, cluster, pool, now)
    urgency = -(2**15)  # below all: a smallint
    later: list[datetime] = []
    while lanes := await tx.rows(_LANES, {"pool": pool, "beyond": urgency}):
        urgency = int(lanes[0].urgency)
        found = await _claim_level(
            claimant,
            urgency,
            [Lane(row.limited, row.queue, row.is_root) for row in lanes],
            rotation=rotation,
            most=most,
        )
        if found.assignments:
            return found
        if found.next_at is not None:
            later.append(found.next_at)
    return Claimed(next_at=min(later, default=None))


async def _claim_level(
    claimant: _Claimant, urgency: int, lanes: Sequence[Lane], *, rotation: Rotation, most: int
) -> Claimed:
    tx, now = claimant.tx, claimant.now
    queues: Mapping[str, QueueRoom] = {}
    if any(lane.limited for lane in lanes):
        await tx.execute(_LOCK_LIMITS)
        queues = await _queue_rooms(tx, {lane.queue for lane in lanes if lane.limited})
    stretches = rotation.stretches(urgency, [lane for lane in lanes if is_open(lane, queues)])
    look = max(most, LOOK)
    waiting = await _list_turns(claimant, urgency, stretches, look=look) if stretches else []
    ready = [turn for turn, available_at in waiting if available_at <= now]
    limited = {turn.run for turn in ready if turn.lane.limited and not turn.lane.is_root}
    runs = await _run_rooms(tx, limited) if limited else {}
    dealt = share(ready, most=most, queues=queues, runs=runs)
    if dealt:
        rotation.served(urgency, list(dealt)[-1])
        leased = await _lease(claimant, urgency, dealt)
        if leased:
            return Claimed(assignments=leased)
        return Claimed(next_at=now)  # somebody else has them locked
    return Claimed(next_at=rotation.pass_over(urgency, waiting, look=look, now=now))


async def _list_turns(
    claimant: _Claimant, urgency: int, stretches: Sequence[Stretch], *, look: int
) -> Sequence[tuple[Turn, datetime]]:
    rows = await claimant.tx.rows(
        _TURNS,
        {
            **_lanes(each.lane for each in stretches),
            "after": [each.after for each in stretches],
            "until": [each.until for each in stretches],
            "pool": claimant.pool,
            "urgency": urgency,
            "look": look,
        },
    )
    return [
        (Turn(Lane(row.limited, row.queue, row.is_root), RunId(row.run_id)), row.available_at)
        for row in rows
    ]


async def _queue_rooms(tx: OrgTx, queues: Collection[str]) -> Mapping[str, QueueRoom]:
    rows = await tx.rows(_QUEUE_ROOMS, {"queue": sorted(queues)})
    return {row.queue: QueueRoom(actions=row.actions, runs=row.runs) for row in rows}


async def _run_rooms(tx: OrgTx, runs: Collection[RunId]) -> Mapping[RunId, int]:
    rows = await tx.rows(_RUN_ROOMS, {"run_id": sorted(runs)})
    return {RunId(row.run_id): int(row.actions) for row in rows}


async def _lease(
    claimant: _Claimant, urgency: int, dealt: Mapping[Turn, int]
) -> Sequence[Assignment]:
    rows = await claimant.tx.rows(
        _LEASE,
        {
            **_lanes(turn.lane for turn in dealt),
            "run_id": [turn.run for turn in dealt],
            "places": list(dealt.values()),
            "cluster": claimant.cluster,
            "pool": claimant.pool,
            "urgency": urgency,
            "now": claimant.now,
        },
    )
    return [_assignment(claimant.tx, row) for row in rows]


def _lanes(lanes: Iterable[Lane]) -> dict[str, object]:
    of = list(lanes)
    return {
        "limited": [lane.limited for lane in of],
        "queue": [lane.queue for lane in of],
        "is_root": [lane.is_root for lane in of],
    }


def _assignment(tx: OrgTx, row: Row[tuple[object, ...]]) -> Assignment:
    key = parse_key(row)
    before = row.attempt - 1
    return Assignment(
        org=tx.org,
        key=key,
        attempt=AttemptId(row.action_id, row.attempt),
        lease=LeaseId(row.lease_id),
        parent=None if row.parent is None else ActionName(row.parent),
        task_type=row.task_type,
        task_spec=Digest(row.spec),
        run_spec=Digest(row.run_spec),
        input_uri=row.input_uri,
        run_base=row.run_base,
        output_prefix=output_prefix(row.run_base, key.name, row.attempt),
        previous_output_prefix=output_prefix(row.run_base, key.name, before) if before else "",
        raw_data_prefix=raw_data_prefix(
            row.run_base, key.name, row.attempt, raw_data_base=row.raw_data_base
        ),
        run_started_at=row.started_at,
        replaceable=row.replaceable,
    )
