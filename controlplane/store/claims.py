"""
Claiming: waiting attempts become leases of a cluster.

One statement picks, leases and opens the attempts, so any number of replicas may claim at
once and each row goes to one of them (``SKIP LOCKED``). Runs take turns: each gets its
share of the credit, most urgent first. What has a limit to be counted is claimed apart,
under a lock, because two who count at once would both find room.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.layout import output_prefix, raw_data_prefix
from controlplane.store.database import OrgTx
from controlplane.store.statements import statement
from shared.model.assignments import Assignment
from shared.model.ids import (
    ActionKey,
    ActionName,
    AttemptId,
    ClusterName,
    Digest,
    DomainName,
    LeaseId,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.phases import Phase

# The runs that have something waiting, most urgent first: one index probe for each, not a
# scan over what waits. Then each run's share of what there is credit for, so that a flood
# of one run does not delay another's single task.
_WAITING_RUNS = """
WITH RECURSIVE waiting AS (
    (SELECT urgency, run_id, 1 AS number FROM dispatches
     WHERE org = :org AND pool = :pool AND limited = {limited} AND lease_id IS NULL
     ORDER BY org, pool, limited, urgency, run_id LIMIT 1)
  UNION ALL
    SELECT n.urgency, n.run_id, w.number + 1
    FROM waiting w CROSS JOIN LATERAL (
        SELECT d.urgency, d.run_id FROM dispatches d
        WHERE d.org = :org AND d.pool = :pool AND d.limited = {limited} AND d.lease_id IS NULL
          AND (d.urgency, d.run_id) > (w.urgency, w.run_id)
        ORDER BY d.org, d.pool, d.limited, d.urgency, d.run_id LIMIT 1
    ) n
    WHERE w.number < :most
), shares AS MATERIALIZED (
    SELECT urgency, run_id,
           GREATEST(1, :most / count(*) OVER (PARTITION BY urgency)) AS share
    FROM waiting ORDER BY urgency, run_id
)"""

_LEASE = f"""
, leased AS (
    UPDATE dispatches d
    SET lease_id = gen_random_uuid(), cluster = :cluster, leased_at = :now, accepted_at = NULL
    FROM picked p WHERE d.org = p.org AND d.action_id = p.action_id
    RETURNING d.org, d.action_id, d.run_id, d.attempt, d.lease_id
), begun AS (
    INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, leased_at)
    SELECT :org, action_id, attempt, lease_id, :cluster, {Phase.QUEUED.value}, :now FROM leased
    ON CONFLICT (org, action_id, number)
    DO UPDATE SET lease_id = EXCLUDED.lease_id, cluster = EXCLUDED.cluster,
                  leased_at = EXCLUDED.leased_at
)
SELECT l.action_id, l.attempt, l.lease_id, a.name, a.parent, a.task_type, a.spec, a.input_uri,
       r.project, r.domain, r.run, r.run_spec, r.run_base, r.raw_data_base, r.started_at,
       s.replaceable
FROM leased l
JOIN actions a ON a.org = l.org AND a.id = l.action_id
JOIN runs r ON r.org = l.org AND r.run_id = l.run_id
JOIN specs s ON s.org = l.org AND s.digest = a.spec
"""

_CLAIM = statement(
    _WAITING_RUNS.format(limited="false")
    + """
, picked AS MATERIALIZED (
    SELECT p.org, p.action_id
    FROM shares s CROSS JOIN LATERAL (
        SELECT d.org, d.action_id FROM dispatches d
        WHERE d.org = :org AND d.pool = :pool AND NOT d.limited AND d.lease_id IS NULL
          AND d.urgency = s.urgency AND d.run_id = s.run_id AND d.available_at <= :now
        ORDER BY d.available_at, d.action_id
        LIMIT s.share FOR UPDATE SKIP LOCKED
    ) p
    LIMIT :most
)"""
    + _LEASE
)

# What has a limit is counted under a lock: of its run, and of its queue, in that order.
_LOCK_LIMITED_RUNS = statement(
    _WAITING_RUNS.format(limited="true")
    + """
SELECT r.run_id FROM runs r
WHERE r.org = :org AND r.run_id IN (SELECT run_id FROM shares)
ORDER BY r.run_id FOR UPDATE
"""
)

_LOCK_QUEUES = statement("""
SELECT queue FROM queues WHERE org = :org ORDER BY queue FOR UPDATE
""")

_CLAIM_LIMITED = statement(
    """
WITH candidates AS (
    SELECT d.*, d.action_id = d.run_id AS is_root,
           row_number() OVER (PARTITION BY d.run_id, d.action_id = d.run_id
                              ORDER BY d.urgency, d.available_at, d.action_id) AS in_run
    FROM unnest(CAST(:run_ids AS uuid[])) AS n (run_id) CROSS JOIN LATERAL (
        SELECT org, action_id, run_id, queue, urgency, available_at FROM dispatches
        WHERE org = :org AND pool = :pool AND limited AND lease_id IS NULL
          AND run_id = n.run_id AND available_at <= :now
        ORDER BY urgency, available_at, action_id LIMIT :most
    ) d
), in_runs AS (
    SELECT c.* FROM candidates c
    JOIN runs r ON r.org = c.org AND r.run_id = c.run_id
    WHERE c.is_root OR r.max_action_concurrency = 0 OR c.in_run <= r.max_action_concurrency - (
        SELECT count(*) FROM dispatches l
        WHERE l.org = c.org AND l.run_id = c.run_id AND l.limited AND l.lease_id IS NOT NULL
          AND l.action_id <> l.run_id
    )
), ranked AS (
    SELECT i.*,
           row_number() OVER (PARTITION BY queue ORDER BY in_run, available_at, action_id)
               AS in_queue,
           row_number() OVER (PARTITION BY queue, is_root ORDER BY available_at, action_id)
               AS roots_in_queue
    FROM in_runs i
), picked AS MATERIALIZED (
    SELECT k.org, k.action_id FROM ranked k
    LEFT JOIN queues q ON q.org = k.org AND q.queue = k.queue
    WHERE (COALESCE(q.action_concurrency, 0) = 0
           OR k.in_queue <= q.action_concurrency - (
               SELECT count(*) FROM dispatches l
               WHERE l.org = k.org AND l.queue = k.queue AND l.limited
                 AND l.lease_id IS NOT NULL))
      AND (NOT k.is_root OR COALESCE(q.run_concurrency, 0) = 0
           OR k.roots_in_queue <= q.run_concurrency - (
               SELECT count(*) FROM dispatches l
               WHERE l.org = k.org AND l.queue = k.queue AND l.limited
                 AND l.lease_id IS NOT NULL AND l.action_id = l.run_id))
    ORDER BY k.urgency, k.in_run, k.available_at LIMIT :most
)"""
    + _LEASE
)


_ANY_LIMITED = statement("""
SELECT 1 FROM dispatches
WHERE org = :org AND pool = :pool AND limited AND lease_id IS NULL LIMIT 1
""")


async def claim(
    tx: OrgTx, cluster: ClusterName, pool: str, *, most: int, now: datetime
) -> Sequence[Assignment]:
    """Lease up to ``most`` waiting attempts of ``pool`` to ``cluster``; opens their attempts."""
    values = {"cluster": cluster, "pool": pool, "now": now}
    locked: Sequence[Row[tuple[object, ...]]] = ()
    if await tx.rows(_ANY_LIMITED, {"pool": pool}):  # runs are locked before dispatches
        locked = await tx.rows(_LOCK_LIMITED_RUNS, {"pool": pool, "most": most})
        await tx.rows(_LOCK_QUEUES)
    rows = list(await tx.rows(_CLAIM, {**values, "most": most}))
    if locked and len(rows) < most:
        rows += await tx.rows(
            _CLAIM_LIMITED,
            {**values, "most": most - len(rows), "run_ids": [row.run_id for row in locked]},
        )
    return [_assignment(tx, row) for row in rows]


def _assignment(tx: OrgTx, row: Row[tuple[object, ...]]) -> Assignment:
    run = RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run))
    name = ActionName(row.name)
    before = row.attempt - 1
    return Assignment(
        org=tx.org,
        key=ActionKey(run, name),
        attempt=AttemptId(row.action_id, row.attempt),
        lease=LeaseId(row.lease_id),
        parent=None if row.parent is None else ActionName(row.parent),
        task_type=row.task_type,
        task_spec=Digest(row.spec),
        run_spec=Digest(row.run_spec),
        input_uri=row.input_uri,
        run_base=row.run_base,
        output_prefix=output_prefix(row.run_base, name, row.attempt),
        previous_output_prefix=output_prefix(row.run_base, name, before) if before else "",
        raw_data_prefix=raw_data_prefix(
            row.run_base, name, row.attempt, raw_data_base=row.raw_data_base
        ),
        run_started_at=row.started_at,
        replaceable=row.replaceable,
    )
