"""Finds deadlocked limits: all slots reserved for children that also need another full limit."""

from collections.abc import Sequence

from controlplane.core.deadlocks import KeptLimit
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
