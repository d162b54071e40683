"""
Claims work: leases waiting attempts to a cluster.

``core.fair_scheduler`` decides the order (round-robin); this module reads the candidates and leases
the chosen ones in one statement, so that any number of replicas may claim at once and each row
goes to one of them (``SKIP LOCKED``). Where limits must be counted, an org's claims are
serialised, because two that count at once would both find the same slot free.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row

from controlplane.core.fair_scheduler import (
    Candidate,
    FairScheduler,
    Handover,
    KeyRange,
    QueueQuota,
    Shares,
    SubQueue,
    allocate,
    has_quota,
)
from controlplane.core.layout import output_prefix, raw_data_prefix
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import no_marker
from controlplane.store.dispatch.concurrency import (
    count_queue_slots,
    count_run_slots,
    list_handovers_in_queues,
    list_handovers_in_runs,
    lock_limits,
)
from controlplane.store.rows import parse_key
from controlplane.store.statements import given, statement
from shared.model.assignments import Assignment
from shared.model.ids import ActionName, AttemptId, ClusterName, Digest, LeaseId, RunId
from shared.model.phases import Phase

PAGE_SIZE = 100
"""The minimum of candidates read per round; the next round continues after the last."""

_ORDER = "d.org, d.pool, d.priority DESC, d.limited, d.queue, d.is_root, d.run_id, d.available_at"
_WAITS = "d.org = :org AND d.pool = :pool AND d.lease_id IS NULL"

# The sub-queues of the highest priority level, by one index probe each: waiting rows are not
# scanned.
_SUB_QUEUES = statement(f"""
WITH RECURSIVE lanes AS (
    (SELECT d.priority, d.limited, d.queue, d.is_root FROM dispatches d
     WHERE {_WAITS} AND d.priority < :below
     ORDER BY {_ORDER} LIMIT 1)
  UNION ALL
    SELECT n.* FROM lanes l CROSS JOIN LATERAL (
        SELECT d.priority, d.limited, d.queue, d.is_root FROM dispatches d
        WHERE {_WAITS} AND d.priority = l.priority
          AND (d.limited, d.queue, d.is_root) > (l.limited, l.queue, l.is_root)
        ORDER BY {_ORDER} LIMIT 1
    ) n
)
SELECT priority, limited, queue, is_root FROM lanes LIMIT 5000
""")

# The runs of each key range, in order, and when the first of their actions may be leased.
_CANDIDATE = f"""
SELECT d.run_id, d.available_at FROM dispatches d
WHERE {_WAITS} AND d.priority = :priority AND d.limited = n.limited AND d.queue = n.queue
  AND d.is_root = n.is_root AND d.run_id > {{after}} AND d.run_id <= n.until
ORDER BY {_ORDER} LIMIT 1
"""
_CANDIDATES = statement(f"""
{given(limited="boolean", queue="text", is_root="boolean", after="uuid", until="uuid")}
SELECT n.limited, n.queue, n.is_root, t.run_id, t.available_at
FROM n CROSS JOIN LATERAL (
    WITH RECURSIVE turns AS (
        ({_CANDIDATE.format(after="n.after")})
      UNION ALL
        SELECT x.* FROM turns b CROSS JOIN LATERAL ({_CANDIDATE.format(after="b.run_id")}) x
    )
    SELECT run_id, available_at FROM turns
) t
WHERE {no_marker("n.org", "t.run_id")}
LIMIT :look
""")

_LEASE = statement(f"""
{given(limited="boolean", queue="text", is_root="boolean", run_id="uuid", places="integer")},
handed AS MATERIALIZED (
    SELECT CAST(:org AS text) AS org, u.*
    FROM unnest(CAST(:parents AS uuid[]), CAST(:parent_queues AS text[])) AS u (parent_id, queue)
), picked AS MATERIALIZED (
    SELECT p.* FROM n CROSS JOIN LATERAL (
        SELECT d.org, d.action_id FROM dispatches d
        WHERE {_WAITS} AND d.priority = :priority AND d.limited = n.limited AND d.queue = n.queue
          AND d.is_root = n.is_root AND d.run_id = n.run_id AND d.available_at <= :now
        ORDER BY {_ORDER}, d.action_id LIMIT n.places FOR UPDATE SKIP LOCKED
    ) p
    WHERE {no_marker("n.org", "n.run_id")}
  UNION ALL
    SELECT p.* FROM handed h CROSS JOIN LATERAL (
        SELECT d.org, d.action_id FROM dispatches d
        WHERE d.org = h.org AND d.parent_id = h.parent_id AND d.lease_id IS NULL
          AND d.queue = h.queue AND d.pool = :pool AND d.priority = :priority AND d.limited
          AND d.available_at <= :now AND {no_marker("d.org", "d.run_id")}
        ORDER BY d.org, d.parent_id, d.lease_id, d.queue, d.available_at
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) p
), leased AS (
    UPDATE dispatches d
    SET lease_id = gen_random_uuid(), cluster = :cluster, leased_at = :now, accepted_at = NULL
    FROM picked p WHERE d.org = p.org AND d.action_id = p.action_id
    RETURNING d.org, d.action_id, d.run_id, d.attempt, d.lease_id, d.queue, d.pool,
              d.available_at
), begun AS (
    INSERT INTO attempts (org, action_id, number, lease_id, cluster, epoch, phase, queue, pool,
                          available_at, leased_at)
    SELECT org, action_id, attempt, lease_id, :cluster,
           COALESCE((SELECT c.epoch FROM clusters c WHERE c.org = :org AND c.cluster = :cluster), 0),
           {Phase.QUEUED.value}, queue, pool, available_at, :now
    FROM leased
    ON CONFLICT (org, action_id, number)
    DO UPDATE SET lease_id = EXCLUDED.lease_id, cluster = EXCLUDED.cluster, epoch = EXCLUDED.epoch,
                  queue = EXCLUDED.queue, pool = EXCLUDED.pool, leased_at = EXCLUDED.leased_at
)
SELECT l.action_id, l.attempt, l.lease_id, l.available_at, a.name, a.parent, a.task_type, a.spec, a.input_uri,
       r.project, r.domain, r.run, r.run_spec, r.run_base, r.raw_data_base, r.started_at,
       s.replaceable
FROM leased l
JOIN actions a ON a.org = l.org AND a.id = l.action_id
JOIN runs r ON r.org = l.org AND r.run_id = l.run_id
JOIN specs s ON s.org = l.org AND s.digest = a.spec
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The leased assignments; if none, when to claim again (None: wait for a notification)."""

    assignments: Sequence[Assignment] = ()
    waits: Sequence[timedelta] = ()  # how long each of them could have been leased
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Claimant:
    """The cluster that claims, its pool and the time of the claim."""

    tx: OrgTx
    cluster: ClusterName
    pool: str
    now: datetime


async def claim(
    tx: OrgTx,
    cluster: ClusterName,
    pool: str,
    *,
    scheduler: FairScheduler,
    most: int,
    now: datetime,
) -> Claimed:
    """
    Lease up to ``most`` waiting attempts of ``pool`` to ``cluster`` and open their attempts.

    Only the highest priority level that may start is served: claim again for the next one.
    """
    claimant = _Claimant(tx, cluster, pool, now)
    priority = 2**15 - 1  # above all: a smallint
    later: list[datetime] = []
    while sub_queues := await tx.rows(_SUB_QUEUES, {"pool": pool, "below": priority}):
        priority = int(sub_queues[0].priority)
        found = await _claim_level(
            claimant,
            priority,
            [SubQueue(row.limited, row.queue, row.is_root) for row in sub_queues],
            scheduler=scheduler,
            most=most,
        )
        if found.assignments:
            return found
        if found.next_at is not None:
            later.append(found.next_at)
    return Claimed(next_at=min(later, default=None))


async def _claim_level(
    claimant: _Claimant,
    priority: int,
    sub_queues: Sequence[SubQueue],
    *,
    scheduler: FairScheduler,
    most: int,
) -> Claimed:
    tx, now = claimant.tx, claimant.now
    queues: Mapping[str, QueueQuota] = {}
    if any(sub_queue.limited for sub_queue in sub_queues):
        await lock_limits(tx)
        queues = await count_queue_slots(
            tx, {sub_queue.queue for sub_queue in sub_queues if sub_queue.limited}, most=most
        )
    key_ranges = scheduler.key_ranges(
        priority, [sub_queue for sub_queue in sub_queues if has_quota(sub_queue, queues)]
    )
    page_size = max(most, PAGE_SIZE)
    waiting = (
        await _list_candidates(claimant, priority, key_ranges, page_size=page_size)
        if key_ranges
        else []
    )
    ready = [candidate for candidate, available_at in waiting if available_at <= now]
    handovers, runs = await _limits(claimant, priority, sub_queues, ready, queues, most=most)
    candidates = scheduler.in_order(priority, [*ready, *(each.candidate for each in handovers)])
    if len(waiting) == page_size:  # the next round begins after these
        last = waiting[-1][0]
        known = scheduler.in_order(priority, [*candidates, last])
        seen = set(known[: known.index(last) + 1])
        candidates = [candidate for candidate in candidates if candidate in seen]
    shares = allocate(
        candidates,
        most=most,
        queues=queues,
        runs=runs,
        handovers=[each for each in handovers if each.available_at <= now],
    )
    if shares.last is not None:
        scheduler.mark_dispatched(priority, shares.last)
        leased = await _lease(claimant, priority, shares)
        if leased.assignments:
            return leased
        return Claimed(next_at=now)  # other transactions have locked all of them
    later = [each.available_at for each in handovers if each.available_at > now]
    next_at = scheduler.skip(priority, waiting, page_size=page_size, now=now)
    return Claimed(next_at=min([*later, *([next_at] if next_at else [])], default=None))


async def _limits(
    claimant: _Claimant,
    priority: int,
    sub_queues: Sequence[SubQueue],
    ready: Sequence[Candidate],
    queues: Mapping[str, QueueQuota],
    *,
    most: int,
) -> tuple[Sequence[Handover], Mapping[RunId, int]]:
    """
    Find the parents that hand their slots over, and the free slots of runs with a limit.

    Where a limit has free slots for all that are asked for, no parent's slot is needed.
    """
    tx = claimant.tx
    inner = {
        sub_queue.queue for sub_queue in sub_queues if sub_queue.limited and not sub_queue.is_root
    }
    short = {name for name in inner if _is_short(queues.get(name), most)}
    in_queues = await list_handovers_in_queues(tx, short, pool=claimant.pool, priority=priority)
    concerned = {
        candidate.run
        for candidate in ready
        if candidate.sub_queue.limited and not candidate.sub_queue.is_root
    }
    runs = await count_run_slots(
        tx, concerned | {each.candidate.run for each in in_queues}, most=most
    )
    short_runs = {run for run, quota in runs.items() if quota < most}
    in_runs = await list_handovers_in_runs(
        tx, short_runs, inner, pool=claimant.pool, priority=priority
    )
    known = {(each.candidate, each.parent) for each in in_queues}
    return [
        *in_queues,
        *(each for each in in_runs if (each.candidate, each.parent) not in known),
    ], runs


def _is_short(quota: QueueQuota | None, most: int) -> bool:
    return quota is not None and quota.actions is not None and quota.actions < most


async def _list_candidates(
    claimant: _Claimant, priority: int, key_ranges: Sequence[KeyRange], *, page_size: int
) -> Sequence[tuple[Candidate, datetime]]:
    rows = await claimant.tx.rows(
        _CANDIDATES,
        {
            **_sub_queue_arrays(each.sub_queue for each in key_ranges),
            "after": [each.after for each in key_ranges],
            "until": [each.until for each in key_ranges],
            "pool": claimant.pool,
            "priority": priority,
            "look": page_size,
        },
    )
    return [
        (
            Candidate(SubQueue(row.limited, row.queue, row.is_root), RunId(row.run_id)),
            row.available_at,
        )
        for row in rows
    ]


async def _lease(claimant: _Claimant, priority: int, shares: Shares) -> Claimed:
    rows = await claimant.tx.rows(
        _LEASE,
        {
            **_sub_queue_arrays(candidate.sub_queue for candidate in shares.count),
            "run_id": [candidate.run for candidate in shares.count],
            "places": list(shares.count.values()),
            "parents": [each.parent for each in shares.handovers],
            "parent_queues": [each.candidate.sub_queue.queue for each in shares.handovers],
            "cluster": claimant.cluster,
            "pool": claimant.pool,
            "priority": priority,
            "now": claimant.now,
        },
    )
    return Claimed(
        assignments=[_assignment(claimant.tx, row) for row in rows],
        waits=[claimant.now - row.available_at for row in rows],
    )


def _sub_queue_arrays(sub_queues: Iterable[SubQueue]) -> dict[str, object]:
    of = list(sub_queues)
    return {
        "limited": [sub_queue.limited for sub_queue in of],
        "queue": [sub_queue.queue for sub_queue in of],
        "is_root": [sub_queue.is_root for sub_queue in of],
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
