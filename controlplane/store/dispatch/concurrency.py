"""
Counts free slots in the concurrency limits of queues and runs, and hands slots to children.

A parent that waits for its children would hold the very slot that they need. So a leased
action takes no slot while a child of it is leased in the same queue (or, for a run's limit,
in the same run), nor while all its live children are in other queues. While its children
wait, its slot is reserved for one of them, so that the active parents are never more than the
limit and the depth of the tree allow.

Call ``lock_limits`` before counting: two transactions that count at once would both find the
same slot free.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Row

from controlplane.core.fair_scheduler import Candidate, Handover, QueueQuota, SubQueue
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import no_marker
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, RunId

MOST_HANDOVERS = 5_000

_LOCK = statement("SELECT 1 FROM orgs WHERE org = :org FOR NO KEY UPDATE")


def _child(condition: str = "") -> str:
    """
    Return SQL that finds a live child of ``l`` with one probe of dispatches_children.

    A scalar subquery on purpose: EXISTS may be planned as a hash of the whole table. In the
    order of the index, because a LIMIT alone may be planned as a scan that ends early.
    """
    return (
        "(SELECT 1 FROM dispatches c WHERE c.org = l.org AND c.parent_id = l.action_id"
        f" {condition} ORDER BY c.org, c.parent_id, c.lease_id, c.queue, c.available_at LIMIT 1)"
    )


WAITS_IN_QUEUE = _child("AND c.lease_id IS NULL AND c.queue = l.queue")
"""SQL that is NULL where no child of the dispatch ``l`` waits in its queue."""
LEASED_IN_QUEUE = _child("AND c.lease_id IS NOT NULL AND c.queue = l.queue")
LEASED = _child("AND c.lease_id IS NOT NULL")

IN_QUEUE = f"""
l.lease_id IS NOT NULL AND l.limited
AND CASE WHEN {_child()} IS NULL THEN true
         WHEN {LEASED_IN_QUEUE} IS NOT NULL THEN false
         ELSE {WAITS_IN_QUEUE} IS NOT NULL END
"""
"""SQL for "the dispatch ``l`` takes a slot of its queue's limit of actions"."""

IN_RUN = f"l.lease_id IS NOT NULL AND l.limited AND NOT l.is_root AND {LEASED} IS NULL"
"""SQL for "the dispatch ``l`` takes a slot of its run's limit of actions"."""

# Counting every leased row is cheap and never too low. Only where that leaves fewer free slots
# than are asked for are the leased rows that take no slot excluded, which is dearer.
_QUEUE_ROOMS = statement(f"""
{given(queue="text")}
SELECT q.queue,
       CASE WHEN q.action_concurrency = 0 THEN NULL
            WHEN q.action_concurrency - a.leased >= :most THEN q.action_concurrency - a.leased
            ELSE q.action_concurrency - (
                SELECT count(*) FROM dispatches l
                WHERE l.org = n.org AND l.queue = n.queue AND {IN_QUEUE}
            ) END AS actions,
       CASE WHEN q.run_concurrency > 0 THEN q.run_concurrency - (
           SELECT count(*) FROM dispatches l
           WHERE l.org = n.org AND l.queue = n.queue AND l.lease_id IS NOT NULL AND l.limited
             AND l.is_root
       ) END AS runs
FROM n JOIN queues q ON q.org = n.org AND q.queue = n.queue
CROSS JOIN LATERAL (
    SELECT count(*) AS leased FROM dispatches l
    WHERE l.org = n.org AND l.queue = n.queue AND l.lease_id IS NOT NULL AND l.limited
) a
""")

_RUN_ROOMS = statement(f"""
{given(run_id="uuid")}
SELECT r.run_id,
       CASE WHEN r.max_action_concurrency - a.leased >= :most
            THEN r.max_action_concurrency - a.leased
            ELSE r.max_action_concurrency - (
                SELECT count(*) FROM dispatches l
                WHERE l.org = n.org AND l.run_id = n.run_id AND {IN_RUN}
            ) END AS actions
FROM n JOIN runs r ON r.org = n.org AND r.run_id = n.run_id
CROSS JOIN LATERAL (
    SELECT count(*) AS leased FROM dispatches l
    WHERE l.org = n.org AND l.run_id = n.run_id AND l.lease_id IS NOT NULL AND l.limited
      AND NOT l.is_root
) a
WHERE r.max_action_concurrency > 0
""")

# The longest-waiting child among those that this claim may lease.
_FIRST_CHILD = """
SELECT c.run_id, c.queue, c.available_at FROM dispatches c
WHERE c.org = l.org AND c.parent_id = l.action_id AND c.lease_id IS NULL AND c.queue = {queue}
  AND c.pool = :pool AND c.priority = :priority AND c.limited
ORDER BY c.org, c.parent_id, c.lease_id, c.queue, c.available_at LIMIT 1
"""

# LATERAL with a LIMIT, so that each queue or run is one range of an index: Postgres joined the
# leased rows of all queues with the whole set.
_OF_QUEUES = statement(f"""
{given(queue="text")}
SELECT l.action_id AS parent, w.run_id, w.queue, w.available_at, true AS in_queue,
       NOT l.is_root AND {LEASED} IS NULL AS in_run
FROM n
CROSS JOIN LATERAL (
    SELECT l.org, l.action_id, l.run_id, l.queue, l.is_root FROM dispatches l
    WHERE l.org = n.org AND l.queue = n.queue AND l.lease_id IS NOT NULL AND l.limited
      AND {LEASED_IN_QUEUE} IS NULL
    ORDER BY l.org, l.queue, l.is_root LIMIT {MOST_HANDOVERS}
) l
CROSS JOIN LATERAL ({_FIRST_CHILD.format(queue="l.queue")}) w
WHERE {no_marker("l.org", "l.run_id")}
LIMIT {MOST_HANDOVERS}
""")

_OF_RUNS = statement(f"""
{given(run_id="uuid")}
SELECT l.action_id AS parent, w.run_id, w.queue, w.available_at, false AS in_queue, true AS in_run
FROM n
CROSS JOIN LATERAL (
    SELECT l.org, l.action_id FROM dispatches l
    WHERE l.org = n.org AND l.run_id = n.run_id AND {IN_RUN}
    ORDER BY l.org, l.run_id, l.limited, l.is_root LIMIT {MOST_HANDOVERS}
) l
CROSS JOIN unnest(CAST(:queues AS text[])) AS lane (queue)
CROSS JOIN LATERAL ({_FIRST_CHILD.format(queue="lane.queue")}) w
WHERE {no_marker("n.org", "n.run_id")}
LIMIT {MOST_HANDOVERS}
""")


async def lock_limits(tx: OrgTx) -> None:
    """Serialise counting of the org's limits until commit."""
    await tx.execute(_LOCK)


async def count_queue_slots(
    tx: OrgTx, queues: Collection[str], *, most: int
) -> Mapping[str, QueueQuota]:
    """Count the free slots of each queue; exact where there are fewer than ``most``."""
    rows = await tx.rows(_QUEUE_ROOMS, {"queue": sorted(queues), "most": most})
    return {row.queue: QueueQuota(actions=row.actions, runs=row.runs) for row in rows}


async def count_run_slots(tx: OrgTx, runs: Collection[RunId], *, most: int) -> Mapping[RunId, int]:
    """Count the free slots of those of these runs that have a limit."""
    if not runs:
        return {}
    rows = await tx.rows(_RUN_ROOMS, {"run_id": sorted(runs), "most": most})
    return {RunId(row.run_id): int(row.actions) for row in rows}


async def list_handovers_in_queues(
    tx: OrgTx, queues: Collection[str], *, pool: str, priority: int
) -> Sequence[Handover]:
    """List the parents in these queues whose slot a waiting child of theirs may take."""
    if not queues:
        return []
    values = {"queue": sorted(queues), "pool": pool, "priority": priority}
    return [_parse(row) for row in await tx.rows(_OF_QUEUES, values)]


async def list_handovers_in_runs(
    tx: OrgTx, runs: Collection[RunId], queues: Collection[str], *, pool: str, priority: int
) -> Sequence[Handover]:
    """List the parents in these runs whose slot a child that waits in ``queues`` may take."""
    if not (runs and queues):
        return []
    values = {"run_id": sorted(runs), "queues": sorted(queues), "pool": pool, "priority": priority}
    return [_parse(row) for row in await tx.rows(_OF_RUNS, values)]


def _parse(row: Row[tuple[object, ...]]) -> Handover:
    return Handover(
        candidate=Candidate(
            SubQueue(limited=True, queue=row.queue, is_root=False), RunId(row.run_id)
        ),
        parent=ActionId(row.parent),
        in_queue=row.in_queue,
        in_run=row.in_run,
        available_at=row.available_at,
    )
