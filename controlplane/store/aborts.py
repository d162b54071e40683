"""
Ending actions that are not wanted any more, with everything below them.

An action that ends takes its live descendants with it, so a live action's ancestors are
all live: going down the live ones finds everything. What waits is gone at once; what a
cluster holds is marked, and its agent is told until it says that nothing runs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.store.changes import Counters, lock_runs, tell
from controlplane.store.database import OrgTx
from controlplane.store.guards import is_live
from controlplane.store.statements import statement
from shared.model.ids import ActionId, ActionName, RunId
from shared.model.phases import Phase

_LIVE_BELOW = statement(f"""
WITH RECURSIVE below AS (
    SELECT c.id, c.run_id, c.name
    FROM unnest(CAST(:parent_ids AS uuid[]), CAST(:run_ids AS uuid[])) AS n (id, run_id)
    JOIN actions p ON p.org = :org AND p.id = n.id
    JOIN actions c ON c.org = :org AND c.run_id = n.run_id AND c.parent = p.name
                  AND {is_live("c.phase")}
  UNION
    SELECT c.id, c.run_id, c.name FROM below b
    JOIN actions c ON c.org = :org AND c.run_id = b.run_id AND c.parent = b.name
                  AND {is_live("c.phase")}
)
SELECT id, run_id FROM below ORDER BY id
""")

_LIVE_AND_BELOW = statement(f"""
WITH RECURSIVE below AS (
    SELECT id, run_id, name FROM actions
    WHERE org = :org AND run_id = :run_id AND name = :name AND {is_live("phase")}
  UNION
    SELECT c.id, c.run_id, c.name FROM below b
    JOIN actions c ON c.org = :org AND c.run_id = b.run_id AND c.parent = b.name
                  AND {is_live("c.phase")}
)
SELECT id, run_id FROM below ORDER BY id
""")

_ABORT = statement(f"""
UPDATE actions a
SET phase = {Phase.ABORTED.value}, ended_at = :now, updated_at = :now, change = n.change,
    abort_reason = :reason, aborted_by = :by
FROM unnest(CAST(:ids AS uuid[]), CAST(:changes AS bigint[])) AS n (id, change)
WHERE a.org = :org AND a.id = n.id AND {is_live("a.phase")}
""")

_DROP_WAITING = statement("""
DELETE FROM dispatches
WHERE org = :org AND action_id = ANY(CAST(:ids AS uuid[])) AND lease_id IS NULL
""")

_STOP_LEASED = statement("""
UPDATE dispatches SET stop_reason = :reason
WHERE org = :org AND action_id = ANY(CAST(:ids AS uuid[])) AND stop_reason IS NULL
RETURNING cluster
""")

_LOCK_DISPATCHES = statement("""
SELECT 1 FROM dispatches WHERE org = :org AND action_id = ANY(CAST(:ids AS uuid[]))
ORDER BY action_id FOR UPDATE
""")

PARENT_ENDED = "its parent action ended"


async def abort(
    tx: OrgTx, run: RunId, action: ActionName, *, reason: str, by: str, now: datetime
) -> int:
    """Abort an action and all below it; returns how many were live (none: no change)."""
    counters = await lock_runs(tx, [run])
    rows = await tx.rows(_LIVE_AND_BELOW, {"run_id": run, "name": action})
    ended = {ActionId(row.id): RunId(row.run_id) for row in rows}
    stops = await _end(tx, counters, ended, reason=reason, by=by, now=now)
    await tell(tx, counters, stops=stops)
    return len(ended)


async def end_descendants(
    tx: OrgTx, counters: Counters, parents: Mapping[ActionId, RunId], now: datetime
) -> Sequence[str]:
    """Abort what still lives below actions that ended; returns the clusters to be told."""
    if not parents:
        return []
    rows = await tx.rows(
        _LIVE_BELOW, {"parent_ids": list(parents), "run_ids": list(parents.values())}
    )
    ended = {ActionId(row.id): RunId(row.run_id) for row in rows}
    return await _end(tx, counters, ended, reason=PARENT_ENDED, by="", now=now)


async def _end(
    tx: OrgTx,
    counters: Counters,
    ended: Mapping[ActionId, RunId],
    *,
    reason: str,
    by: str,
    now: datetime,
) -> Sequence[str]:
    if not ended:
        return []
    ids = list(ended)
    await tx.execute(_LOCK_DISPATCHES, {"ids": ids})
    await tx.execute(
        _ABORT,
        {
            "ids": ids,
            "changes": [counters.next(run) for run in ended.values()],
            "reason": reason,
            "by": by,
            "now": now,
        },
    )
    await tx.execute(_DROP_WAITING, {"ids": ids})
    rows = await tx.rows(_STOP_LEASED, {"ids": ids, "reason": reason})
    return sorted({row.cluster for row in rows})
