"""
Counts the work of all queues once a minute, and reads a queue's counts over time.

A queue without work has no row. Of all work at most MOST_COUNTED rows are counted.
"""

from collections.abc import Sequence
from datetime import datetime

from controlplane.core.queues import QueueBucket
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import statement

MOST_COUNTED = 1_000_000
"""Rows of dispatches that a pass counts in all; what lies beyond is not seen."""

_ALONE = statement("SELECT pg_try_advisory_xact_lock(hashtext('volary queue samples')) AS alone")

_THERE = statement("SELECT EXISTS (SELECT 1 FROM queue_samples WHERE at >= :minute_at) AS there")

_TAKE = statement(f"""
INSERT INTO queue_samples (org, queue, at, waiting, assigned, waited)
SELECT d.org, d.queue, :minute_at, count(*) FILTER (WHERE d.lease_id IS NULL),
       count(*) FILTER (WHERE d.lease_id IS NOT NULL),
       COALESCE(max(:now - d.available_at) FILTER (
           WHERE d.lease_id IS NULL AND d.available_at <= :now
       ), interval '0')
FROM (SELECT org, queue, lease_id, available_at FROM dispatches LIMIT {MOST_COUNTED}) d
GROUP BY d.org, d.queue
ON CONFLICT DO NOTHING
""")

_FORGET = statement("DELETE FROM queue_samples WHERE at < :before_at")

_HISTORY = statement("""
SELECT width_bucket(
           extract(epoch FROM s.at)::float8, CAST(:since AS float8), CAST(:until AS float8),
           CAST(:buckets AS int)
       ) AS bucket,
       max(s.waiting) AS waiting, max(s.assigned) AS assigned,
       max(s.waited) AS waited
FROM queue_samples s
WHERE s.org = :org AND s.queue = :queue AND s.at >= :since_at AND s.at < :until_at
GROUP BY bucket ORDER BY bucket
""")


async def be_alone(tx: FleetTx) -> bool:
    """Try to be the one that counts until commit; False if another transaction does."""
    return bool((await tx.connection.execute(_ALONE)).one().alone)


async def is_sampled(tx: FleetTx, minute: datetime) -> bool:
    """Return whether the work was counted at ``minute`` or later; False if there was none."""
    return bool((await tx.connection.execute(_THERE, {"minute_at": minute})).one().there)


async def take_samples(tx: FleetTx, minute: datetime, now: datetime) -> int:
    """Count the work of all queues; return of how many queues."""
    taken = await tx.connection.execute(_TAKE, {"minute_at": minute, "now": now})
    return taken.rowcount


async def forget_samples(tx: FleetTx, before: datetime) -> None:
    await tx.connection.execute(_FORGET, {"before_at": before})


async def read_history(
    tx: OrgTx, queue: str, *, since: datetime, until: datetime, buckets: int
) -> Sequence[QueueBucket]:
    """Read a queue's counts in equal buckets; one without work is left out."""
    rows = await tx.rows(
        _HISTORY,
        {
            "queue": queue,
            "since": since.timestamp(),
            "until": until.timestamp(),
            "since_at": since,
            "until_at": until,
            "buckets": buckets,
        },
    )
    length = (until - since) / buckets
    return [
        QueueBucket(
            began_at=since + (row.bucket - 1) * length,
            waiting=row.waiting,
            assigned=row.assigned,
            waited=row.waited,
        )
        for row in rows
    ]
