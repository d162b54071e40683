"""
Counts what each run has waiting and leased in a queue.

At most MOST_EXAMINED waiting dispatches are counted, and as many leased ones: a queue may have a
hundred thousand, and counting is for people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.queues import DEFAULT
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_key
from controlplane.store.statements import statement
from shared.model.ids import ActionId, ActionKey

MOST_EXAMINED = 20_000

_SHARES = """
WITH waiting AS MATERIALIZED (
    SELECT d.run_id, d.action_id, d.queue, d.enqueued_at FROM dispatches d
    WHERE d.org = :org AND d.lease_id IS NULL {which} LIMIT :examined
), leased AS MATERIALIZED (
    SELECT d.run_id, d.queue FROM dispatches d
    WHERE d.org = :org AND d.lease_id IS NOT NULL LIMIT :examined
), oldest AS MATERIALIZED (
    SELECT DISTINCT ON (w.run_id) w.run_id, w.action_id, w.enqueued_at
    FROM waiting w WHERE w.queue = :queue ORDER BY w.run_id, w.enqueued_at, w.action_id
), shares AS MATERIALIZED (
    SELECT u.run_id, sum(u.waiting) AS waiting, sum(u.leased) AS leased FROM (
        SELECT w.run_id, count(*) AS waiting, 0 AS leased
        FROM waiting w WHERE w.queue = :queue GROUP BY w.run_id
      UNION ALL
        SELECT l.run_id, 0, count(*) FROM leased l WHERE l.queue = :queue GROUP BY l.run_id
    ) u GROUP BY u.run_id
), page AS MATERIALIZED (
    SELECT s.run_id, s.waiting, s.leased, o.action_id, o.enqueued_at
    FROM shares s LEFT JOIN oldest o ON o.run_id = s.run_id
    ORDER BY o.enqueued_at NULLS LAST, s.run_id LIMIT :most
)
SELECT r.project, r.domain, r.run, p.waiting, p.leased, p.action_id, p.enqueued_at,
       COALESCE(a.name, 'a0') AS name,
       (SELECT count(*) FROM waiting) AS examined
FROM page p
JOIN runs r ON r.org = :org AND r.run_id = p.run_id
LEFT JOIN actions a ON a.org = :org AND a.id = p.action_id
ORDER BY p.enqueued_at NULLS LAST, p.run_id
"""
_OF_QUEUE = statement(_SHARES.format(which="AND d.queue = :queue AND d.queue <> ''"))
_OF_DEFAULT = statement(_SHARES.format(which=""))  # no index has its dispatches apart


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShare:
    """A run's part of a queue; ``oldest`` is its action that waits longest, its root if none does."""

    oldest: ActionKey
    oldest_id: ActionId | None  # None: none waits
    waiting_since: datetime | None
    waiting: int
    leased: int


async def list_shares(tx: OrgTx, queue: str, *, most: int) -> tuple[Sequence[RunShare], bool]:
    """List the runs of a queue, the longest waiting first; and whether all that waits was counted."""
    which = _OF_DEFAULT if queue == DEFAULT else _OF_QUEUE
    rows = await tx.rows(which, {"queue": queue, "examined": MOST_EXAMINED, "most": most})
    shares = [
        RunShare(
            oldest=parse_key(row),
            oldest_id=None if row.action_id is None else ActionId(row.action_id),
            waiting_since=row.enqueued_at,
            waiting=int(row.waiting),
            leased=int(row.leased),
        )
        for row in rows
    ]
    return shares, not rows or rows[0].examined < MOST_EXAMINED
