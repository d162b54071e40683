"""
Finds deadlocked limits: all slots are reserved for children that also need another full limit, or
held by runs that started a run which waits for one of these slots.
"""

from collections.abc import Sequence

from controlplane.core.deadlocks import KeptLimit, SpawnedRunLimit
from controlplane.core.pending_reasons import BlockedKind, BlockedScope
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.concurrency import IN_QUEUE, IN_RUN, LEASED, LEASED_IN_QUEUE
from controlplane.store.statements import statement

_CHILD = "c.org = l.org AND c.parent_id = l.action_id AND c.lease_id IS NULL"

# Full queues, all of whose slots are reserved for a child that needs its run's limit as well.
_QUEUES = statement(f"""
SELECT q.queue, array_agg(DISTINCT w.run_id) AS runs
FROM queues q
JOIN dispatches l ON l.org = q.org AND l.queue = q.queue AND {IN_QUEUE}
LEFT JOIN LATERAL (
    SELECT c.run_id FROM dispatches c JOIN runs r ON r.org = c.org AND r.run_id = c.run_id
    WHERE {_CHILD} AND c.queue = l.queue AND r.max_action_concurrency > 0
      AND (l.is_root OR {LEASED} IS NOT NULL)
    LIMIT 1
) w ON true
WHERE q.org = :org AND q.action_concurrency > 0
GROUP BY q.queue, q.action_concurrency
HAVING count(*) >= q.action_concurrency AND bool_and(w.run_id IS NOT NULL)
""")

# Full runs, all of whose slots are reserved for children that need their queues' limits as well.
_RUNS = statement(f"""
SELECT f.run_id, f.run, array_agg(DISTINCT w.queue) AS queues
FROM (
    SELECT l.org, l.run_id, r.run, l.action_id, l.queue, r.max_action_concurrency,
           count(*) OVER (PARTITION BY l.run_id) AS taken
    FROM dispatches l JOIN runs r ON r.org = l.org AND r.run_id = l.run_id
    WHERE l.org = :org AND r.max_action_concurrency > 0 AND {IN_RUN}
) f
CROSS JOIN LATERAL (SELECT f.org, f.action_id, f.queue) l
LEFT JOIN LATERAL (
    SELECT DISTINCT c.queue, q.action_concurrency > 0
           AND (c.queue <> l.queue OR {LEASED_IN_QUEUE} IS NOT NULL) AS is_held
    FROM dispatches c LEFT JOIN queues q ON q.org = c.org AND q.queue = c.queue
    WHERE {_CHILD}
) w ON true
WHERE f.taken >= f.max_action_concurrency
GROUP BY f.run_id, f.run
HAVING bool_and(COALESCE(w.is_held, false))
""")


MOST_SPAWNED = 1_000
"""Of the runs that a run started, the newest so many are looked at."""
MOST_GENERATIONS = 8

_SPAWNED_OF = f"""
SELECT s.run_id, s.run FROM runs s WHERE s.org = l.org AND s.spawned_by = {{parent}}
ORDER BY s.org DESC, s.spawned_by DESC, s.run_id DESC LIMIT {MOST_SPAWNED}
"""

# Full limits of queues: each of the dispatches that hold a slot is the root of a run that started,
# directly or not, a run whose root waits in the queue.
_SPAWNED = f"""
SELECT q.queue, min(ARRAY[r.run, w.run]) AS example
FROM queues q
JOIN dispatches l ON l.org = q.org AND l.queue = q.queue AND {{holds}}
JOIN runs r ON r.org = l.org AND r.run_id = l.run_id
LEFT JOIN LATERAL (
    WITH RECURSIVE spawned AS (
        SELECT c.run_id, c.run, 1 AS generation
        FROM ({_SPAWNED_OF.format(parent="l.run_id")}) c
      UNION ALL
        SELECT c.run_id, c.run, p.generation + 1 FROM spawned p
        CROSS JOIN LATERAL ({_SPAWNED_OF.format(parent="p.run_id")}) c
        WHERE p.generation < {MOST_GENERATIONS}
    )
    SELECT p.run FROM spawned p CROSS JOIN LATERAL (
        SELECT 1 FROM dispatches d
        WHERE d.org = l.org AND d.action_id = p.run_id AND d.lease_id IS NULL
          AND d.queue = l.queue LIMIT 1
    ) d
    LIMIT 1
) w ON l.is_root
WHERE q.org = :org AND {{limit}} > 0
  AND {{limit}} <= (SELECT count(*) FROM dispatches c
                  WHERE c.org = q.org AND c.queue = q.queue AND c.lease_id IS NOT NULL AND c.limited)
GROUP BY q.queue, {{limit}}
HAVING count(*) >= {{limit}} AND bool_and(w.run IS NOT NULL)
"""
_SPAWNED_BY_KIND = {
    BlockedKind.QUEUE_RUNS: statement(
        _SPAWNED.format(
            holds="l.lease_id IS NOT NULL AND l.limited AND l.is_root", limit="q.run_concurrency"
        )
    ),
    BlockedKind.QUEUE: statement(_SPAWNED.format(holds=IN_QUEUE, limit="q.action_concurrency")),
}


async def list_spawned_run_limits(tx: OrgTx) -> Sequence[SpawnedRunLimit]:
    """List the full limits of queues, all of whose holders started a run that waits in the queue."""
    return [
        SpawnedRunLimit(queue=row.queue, kind=kind, holder=row.example[0], waiting=row.example[1])
        for kind, made in _SPAWNED_BY_KIND.items()
        for row in await tx.rows(made)
    ]


async def list_kept_limits(tx: OrgTx) -> Sequence[KeptLimit]:
    """List the org's limits whose slots are all reserved for children that need another limit."""
    queues = [
        KeptLimit(
            place=BlockedScope(BlockedKind.QUEUE, row.queue),
            name=f"queue {row.queue}",
            needs={BlockedScope(BlockedKind.RUN, str(run)) for run in row.runs},
        )
        for row in await tx.rows(_QUEUES)
    ]
    runs = [
        KeptLimit(
            place=BlockedScope(BlockedKind.RUN, str(row.run_id)),
            name=f"run {row.run}",
            needs={BlockedScope(BlockedKind.QUEUE, queue) for queue in row.queues},
        )
        for row in await tx.rows(_RUNS)
    ]
    return [*queues, *runs]
