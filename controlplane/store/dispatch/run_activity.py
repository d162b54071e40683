"""Counts what a run's attempts did over time, in one statement over the run."""

from collections.abc import Sequence
from datetime import datetime

from controlplane.core.actions import ActionType
from controlplane.core.run_activity import Changes, Doing, Lane
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_enum
from controlplane.store.statements import statement
from shared.model.ids import RunId

_MOST_LANES = 50
"""Lanes of waiting, the largest first: a run's actions are in few queues."""

# Each period of an attempt, cut to the time asked for, changes the count of its lane twice.
_CHANGES = statement(f"""
WITH acts AS MATERIALIZED (
    SELECT a.org, a.id, a.type, a.parent IS NULL AS is_root, a.created_at, a.ended_at
    FROM actions a WHERE a.org = :org AND a.run_id = :run_id
), tried AS MATERIALIZED (
    SELECT a.id, a.is_root, t.*, lag(t.ended_at) OVER (PARTITION BY a.id ORDER BY t.number) AS before
    FROM acts a CROSS JOIN LATERAL (
        SELECT t.number, t.pool, t.queue, t.available_at, t.leased_at, t.started_at, t.ended_at
        FROM attempts t WHERE t.org = a.org AND t.action_id = a.id
        ORDER BY t.org, t.action_id, t.number LIMIT 1000
    ) t
    WHERE a.type = {ActionType.TASK.value}
), spans AS (
    SELECT {Doing.WAITING.value} AS doing, pool, queue, is_root, available_at AS began,
           leased_at AS ended FROM tried
  UNION ALL
    SELECT {Doing.STARTING.value}, '', '', false, leased_at, COALESCE(started_at, ended_at, :now)
    FROM tried
  UNION ALL
    SELECT {Doing.RUNNING.value}, '', '', false, started_at, COALESCE(ended_at, :now)
    FROM tried WHERE started_at IS NOT NULL
  UNION ALL
    SELECT {Doing.BACKOFF.value}, '', '', false, before, available_at
    FROM tried WHERE before IS NOT NULL
  UNION ALL
    SELECT {Doing.SIGNAL.value}, '', '', false, created_at, COALESCE(ended_at, :now)
    FROM acts WHERE type = {ActionType.CONDITION.value}
  UNION ALL
    SELECT {Doing.WAITING.value}, d.pool, d.queue, a.is_root, d.available_at, :now
    FROM acts a CROSS JOIN LATERAL (
        SELECT * FROM dispatches d WHERE d.org = a.org AND d.action_id = a.id LIMIT 1
    ) d
    WHERE a.ended_at IS NULL AND d.lease_id IS NULL AND a.type = {ActionType.TASK.value}
), ends AS (
    SELECT s.doing, s.pool, s.queue, s.is_root, e.sign,
           GREATEST(EXTRACT(epoch FROM e.at - :since_at), 0) / :length AS place
    FROM spans s CROSS JOIN LATERAL (VALUES (s.began, 1), (s.ended, -1)) e (at, sign)
    WHERE s.began < s.ended AND s.began < :until_at AND s.ended > :since_at
), changes AS (
    SELECT doing, pool, queue, is_root, floor(place)::integer AS bucket, sum(sign) AS size,
           sum(sign * (1 - (place - floor(place)))) AS rest, count(*) AS weight
    FROM ends WHERE place < :buckets GROUP BY doing, pool, queue, is_root, bucket
), lanes AS (
    SELECT doing, pool, queue, is_root FROM changes
    GROUP BY doing, pool, queue, is_root ORDER BY sum(weight) DESC LIMIT {_MOST_LANES}
)
SELECT c.* FROM changes c JOIN lanes l USING (doing, pool, queue, is_root)
""")


async def list_changes(
    tx: OrgTx, run: RunId, *, since: datetime, until: datetime, buckets: int, now: datetime
) -> Sequence[Changes]:
    """List the changes of a run's lanes in each of ``buckets`` from ``since`` to ``until``."""
    values = {
        "run_id": run,
        "since_at": since,
        "until_at": until,
        "buckets": buckets,
        "length": (until - since).total_seconds() / buckets,
        "now": now,
    }
    return [
        Changes(
            lane=Lane(parse_enum(row.doing, Doing.WAITING), row.pool, row.queue, row.is_root),
            bucket=row.bucket,
            count=int(row.size),
            rest=float(row.rest),
        )
        for row in await tx.rows(_CHANGES, values)
    ]
