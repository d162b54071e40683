"""
Saves, finds, lists and deletes queues.

Entering a queue with a depth limit takes the queue's lock, so that the limit holds.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from controlplane.core.queues import DEFAULT, Queue, QueueCapacities, QueueCapacity, QueueStatus
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import lock_runs, notify_own_work
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, RunId

_COLUMNS = "queue, pool, priority, depth, run_concurrency, action_concurrency, version"

_LOCK = statement(f"""
SELECT {_COLUMNS} FROM queues WHERE org = :org AND queue = ANY(CAST(:names AS text[]))
ORDER BY queue FOR NO KEY UPDATE
""")

_LOCK_FREE = statement(f"""
SELECT {_COLUMNS} FROM queues WHERE org = :org AND queue = ANY(CAST(:names AS text[]))
ORDER BY queue FOR NO KEY UPDATE SKIP LOCKED
""")
_WHICH_EXIST = statement("""
SELECT queue FROM queues WHERE org = :org AND queue = ANY(CAST(:names AS text[]))
""")

_WAITING = statement("""
SELECT count(*) AS waiting FROM (
    SELECT 1 FROM dispatches
    WHERE org = :org AND queue = :queue AND queue <> '' AND lease_id IS NULL LIMIT :most
) w
""")

_FULL = statement("""
SELECT q.queue FROM queues q
WHERE q.org = :org AND q.queue = ANY(CAST(:names AS text[])) AND q.depth > 0
  AND q.depth <= (SELECT count(*) FROM dispatches d
                  WHERE d.org = q.org AND d.queue = q.queue AND d.queue <> ''
                    AND d.lease_id IS NULL)
""")

_SAVE = statement("""
INSERT INTO queues (org, queue, pool, priority, depth, run_concurrency, action_concurrency,
                    created_at)
VALUES (:org, :queue, :pool, :priority, :depth, :run_concurrency, :action_concurrency, :now)
ON CONFLICT (org, queue) DO UPDATE
SET pool = EXCLUDED.pool, priority = EXCLUDED.priority, depth = EXCLUDED.depth,
    run_concurrency = EXCLUDED.run_concurrency,
    action_concurrency = EXCLUDED.action_concurrency, version = queues.version + 1
""")

_INSERT = statement("""
INSERT INTO queues (org, queue, pool, priority, depth, run_concurrency, action_concurrency,
                    created_at)
VALUES (:org, :queue, :pool, :priority, :depth, :run_concurrency, :action_concurrency, :now)
ON CONFLICT (org, queue) DO NOTHING
""")

PAGE = 1_000
"""Dispatches that one transaction reads, to find those that follow a queue's settings."""

# Dispatches follow their queue's settings; leased ones count against a new limit. By the primary
# key, because no index has a queue's dispatches in an order; locked in the global lock order.
_FOLLOW = statement("""
WITH page AS MATERIALIZED (
    SELECT d.org, d.action_id, d.run_id, d.queue FROM dispatches d
    WHERE d.org = :org AND d.action_id > :past ORDER BY d.org, d.action_id LIMIT :most
), there AS MATERIALIZED (
    SELECT d.org, d.action_id, :limited OR r.max_action_concurrency > 0 AS limited
    FROM page p
    CROSS JOIN LATERAL (
        SELECT r.max_action_concurrency FROM runs r
        WHERE r.org = p.org AND r.run_id = p.run_id LIMIT 1
    ) r
    JOIN dispatches d ON d.org = p.org AND d.action_id = p.action_id
    WHERE p.queue = :queue AND d.queue = :queue
    ORDER BY d.action_id FOR UPDATE OF d
), changed AS (
    UPDATE dispatches d
    SET queue = :becomes, pool = :pool, priority = :priority, limited = t.limited
    FROM there t
    WHERE d.org = t.org AND d.action_id = t.action_id
      AND (d.queue <> :becomes OR d.pool <> :pool OR d.priority <> :priority
           OR d.limited <> t.limited)
    RETURNING 1
)
SELECT (SELECT count(*) FROM changed) AS changed,
       (SELECT p.action_id FROM page p ORDER BY p.org DESC, p.action_id DESC LIMIT 1) AS past
""")

_STATUSES = """
SELECT q.*,
    (SELECT count(*) FROM dispatches d
     WHERE d.org = q.org AND d.queue = q.queue AND d.queue <> '' AND d.lease_id IS NULL) AS waiting,
    (SELECT count(*) FROM dispatches d
     WHERE d.org = q.org AND d.queue = q.queue AND d.lease_id IS NOT NULL) AS leased,
    (SELECT count(*) FROM dispatches d
     WHERE d.org = q.org AND d.queue = q.queue AND d.lease_id IS NOT NULL AND d.is_root) AS runs,
    (SELECT count(*) FROM clusters c WHERE c.org = q.org AND c.pool = q.pool) AS clusters
FROM queues q WHERE q.org = :org AND q.queue {which}
ORDER BY q.org, q.queue LIMIT {most}
"""
_STATUS = statement(_STATUSES.format(which="= :queue", most=1))
_STATUS_PAGE = statement(_STATUSES.format(which="> :after", most=":most"))
_NAMES = statement(
    "SELECT queue FROM queues WHERE org = :org AND queue > :after ORDER BY org, queue LIMIT :most"
)

_LOCK_ONE = statement(
    f"SELECT {_COLUMNS} FROM queues WHERE org = :org AND queue = :queue FOR UPDATE"
)

# A run counts in its queue for as long as its root, which has the run's id, has a dispatch.
_PAGE_OF_ROOTS = statement("""
SELECT d.action_id, d.is_root AND d.queue = :queue AS is_in FROM dispatches d
WHERE d.org = :org AND d.action_id > :past ORDER BY d.org, d.action_id LIMIT :most
""")
_ANY_IN = statement("SELECT 1 FROM dispatches WHERE org = :org AND queue = :queue LIMIT 1")

_MOVE_RUNS = statement(f"""
{given(run_id="uuid")}
UPDATE runs r SET queue = :becomes FROM n WHERE r.org = n.org AND r.run_id = n.run_id
""")

_DELETE = statement("DELETE FROM queues WHERE org = :org AND queue = :queue")

_START = ActionId(UUID(int=0))


async def lock_queues(tx: OrgTx, names: Collection[str]) -> QueueCapacities:
    """Lock the queues of these names until commit, and count their remaining depth."""
    return await _count_remaining(tx, await tx.rows(_LOCK, {"names": sorted(set(names))}))


async def lock_free_queues(
    tx: OrgTx, names: Collection[str]
) -> tuple[QueueCapacities, Collection[str]]:
    """Lock queues as ``lock_queues`` does, but skip and name those that are locked elsewhere."""
    required = set(names)
    capacities = await _count_remaining(tx, await tx.rows(_LOCK_FREE, {"names": sorted(required)}))
    missing = {name for name in required if name not in capacities.capacities and name != DEFAULT}
    if not missing:
        return capacities, ()
    rows = await tx.rows(_WHICH_EXIST, {"names": sorted(missing)})
    return capacities, {row.queue for row in rows}


async def _count_remaining(tx: OrgTx, rows: Sequence[Row[tuple[object, ...]]]) -> QueueCapacities:
    capacities: dict[str, QueueCapacity] = {}
    for row in rows:
        queue = parse_queue(row)
        remaining = None
        if queue.depth:
            counted = await tx.rows(_WAITING, {"queue": queue.name, "most": queue.depth})
            remaining = queue.depth - int(counted[0].waiting)
        capacities[queue.name] = QueueCapacity(queue, remaining)
    return QueueCapacities(capacities)


async def list_full(tx: OrgTx, names: Collection[str]) -> Collection[str]:
    """List those of these queues that are full."""
    rows = await tx.rows(_FULL, {"names": sorted(set(names))})
    return {row.queue for row in rows}


async def insert_queue(tx: OrgTx, queue: Queue, now: datetime) -> bool:
    """Create a queue; False if one of its name exists."""
    inserted = await tx.execute(_INSERT, _values(queue, now))
    return bool(inserted.rowcount)


async def save_queue(tx: OrgTx, queue: Queue, now: datetime) -> None:
    """Create or change a queue; then ``follow_page`` makes its dispatches follow."""
    await tx.execute(_SAVE, _values(queue, now))
    await notify_own_work(tx)


async def find_queue(tx: OrgTx, name: str) -> Queue | None:
    """Find a queue and lock it until commit: no action enters it meanwhile."""
    rows = await tx.rows(_LOCK_ONE, {"queue": name})
    return parse_queue(rows[0]) if rows else None


async def list_queues(tx: OrgTx, *, after: str = "", most: int) -> Sequence[QueueStatus]:
    """List created queues by name, with the number of actions in each."""
    rows = await tx.rows(_STATUS_PAGE, {"after": after, "most": most})
    return [_parse_status(row) for row in rows]


async def list_names(tx: OrgTx, *, most: int) -> Sequence[str]:
    """List the names of created queues; the first by the alphabet."""
    return [row.queue for row in await tx.rows(_NAMES, {"after": "", "most": most})]


async def find_status(tx: OrgTx, name: str) -> QueueStatus | None:
    """Find a created queue, with the number of actions in it."""
    rows = await tx.rows(_STATUS, {"queue": name})
    return _parse_status(rows[0]) if rows else None


async def delete_queue(tx: OrgTx, queue: str) -> bool:
    """Delete a queue unless actions are in it; return whether it was. None enters meanwhile."""
    await lock_queues(tx, [queue])
    if await tx.rows(_ANY_IN, {"queue": queue}):
        return False
    await tx.execute(_DELETE, {"queue": queue})
    return True


async def move_runs_page(
    tx: OrgTx, queue: str, into: str, *, past: ActionId | None
) -> ActionId | None:
    """
    Make the live runs of a queue enqueue ``into`` another one from now on, in pages of the org.

    Returns the ``past`` of the next page; None after the last.
    """
    rows = await tx.rows(_PAGE_OF_ROOTS, {"queue": queue, "past": past or _START, "most": PAGE})
    runs = [RunId(row.action_id) for row in rows if row.is_in]
    if runs:
        await lock_runs(tx, runs)
        await tx.execute(_MOVE_RUNS, {"run_id": runs, "becomes": into})
    return ActionId(rows[-1].action_id) if len(rows) == PAGE else None


async def follow_page(
    tx: OrgTx, queue: str, into: str, *, past: ActionId | None
) -> ActionId | None:
    """
    Give dispatches of ``queue`` the settings of the queue ``into``, which may be the same one.

    In pages of the org's dispatches, so that no statement and no lock is long; repeating it
    changes nothing. Returns the ``past`` of the next page; None after the last.
    """
    becomes = (await lock_queues(tx, [into])).find(into)
    if becomes is None:
        return None  # it was deleted meanwhile, and its dispatches with it were moved
    [row] = await tx.rows(
        _FOLLOW,
        {
            "queue": queue,
            "becomes": becomes.name,
            "pool": becomes.pool,
            "priority": becomes.priority,
            "limited": becomes.is_limited,
            "past": past or _START,
            "most": PAGE,
        },
    )
    if row.changed:
        await notify_own_work(tx)
    return None if row.past is None else ActionId(row.past)


def _values(queue: Queue, now: datetime) -> Mapping[str, object]:
    return {
        "queue": queue.name,
        "pool": queue.pool,
        "priority": queue.priority,
        "depth": queue.depth,
        "run_concurrency": queue.run_concurrency,
        "action_concurrency": queue.action_concurrency,
        "now": now,
    }


def _parse_status(row: Row[tuple[object, ...]]) -> QueueStatus:
    return QueueStatus(
        queue=parse_queue(row),
        waiting=row.waiting,
        leased=row.leased,
        runs=row.runs,
        clusters=row.clusters,
    )


def parse_queue(row: Row[tuple[object, ...]]) -> Queue:
    return Queue(
        name=row.queue,
        pool=row.pool,
        priority=row.priority,
        depth=row.depth,
        run_concurrency=row.run_concurrency,
        action_concurrency=row.action_concurrency,
        version=row.version,
    )
