"""Queues in Postgres. Entering one with a depth is done under its lock, so that it holds."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.queues import Queue, Room, Rooms
from controlplane.store.database import OrgTx
from controlplane.store.statements import statement

_COLUMNS = "queue, pool, priority, depth, run_concurrency, action_concurrency"

_LOCK = statement(f"""
SELECT {_COLUMNS} FROM queues WHERE org = :org AND queue = ANY(CAST(:names AS text[]))
ORDER BY queue FOR NO KEY UPDATE
""")

_WAITING = statement("""
SELECT count(*) AS waiting FROM (
    SELECT 1 FROM dispatches
    WHERE org = :org AND queue = :queue AND queue <> '' AND lease_id IS NULL LIMIT :most
) w
""")

_SAVE = statement("""
INSERT INTO queues (org, queue, pool, priority, depth, run_concurrency, action_concurrency,
                    created_at)
VALUES (:org, :queue, :pool, :priority, :depth, :run_concurrency, :action_concurrency, :now)
ON CONFLICT (org, queue) DO UPDATE
SET pool = EXCLUDED.pool, priority = EXCLUDED.priority, depth = EXCLUDED.depth,
    run_concurrency = EXCLUDED.run_concurrency,
    action_concurrency = EXCLUDED.action_concurrency
""")

# What waits already follows the queue's new settings; what is leased stays where it is.
_FOLLOW = statement("""
UPDATE dispatches d
SET pool = :pool, urgency = :urgency,
    limited = :limited OR r.max_action_concurrency > 0
FROM runs r
WHERE d.org = :org AND d.queue = :queue AND r.org = d.org AND r.run_id = d.run_id
""")

_LIST = statement(f"SELECT {_COLUMNS} FROM queues WHERE org = :org ORDER BY queue LIMIT 1000")


async def lock_queues(tx: OrgTx, names: Collection[str]) -> Rooms:
    """Find the queues of these names and how much room is in them, until commit."""
    rooms: dict[str, Room] = {}
    for row in await tx.rows(_LOCK, {"names": sorted(set(names))}):
        queue = _parse(row)
        left = None
        if queue.depth:
            counted = await tx.rows(_WAITING, {"queue": queue.name, "most": queue.depth})
            left = queue.depth - int(counted[0].waiting)
        rooms[queue.name] = Room(queue, left)
    return Rooms(rooms)


async def save_queue(tx: OrgTx, queue: Queue, now: datetime) -> None:
    """Make a queue, or change it; what waits in it follows."""
    await tx.execute(
        _SAVE,
        {
            "queue": queue.name,
            "pool": queue.pool,
            "priority": queue.priority,
            "depth": queue.depth,
            "run_concurrency": queue.run_concurrency,
            "action_concurrency": queue.action_concurrency,
            "now": now,
        },
    )
    await tx.execute(
        _FOLLOW,
        {
            "queue": queue.name,
            "pool": queue.pool,
            "urgency": -queue.priority,
            "limited": queue.is_limited,
        },
    )


async def list_queues(tx: OrgTx) -> Sequence[Queue]:
    return [_parse(row) for row in await tx.rows(_LIST)]


def _parse(row: Row[tuple[object, ...]]) -> Queue:
    return Queue(
        name=row.queue,
        pool=row.pool,
        priority=row.priority,
        depth=row.depth,
        run_concurrency=row.run_concurrency,
        action_concurrency=row.action_concurrency,
    )
