"""
Ending actions that are not wanted any more, with everything below them.

An action that ends takes its live descendants with it, so a live action's ancestors are
all live: going down the live ones finds everything. What waits is gone at once; what a
cluster holds is marked, and its agent is told until it says that nothing runs.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from controlplane.store.changes import Counters, lock_runs, tell
from controlplane.store.database import OrgTx
from controlplane.store.guards import is_live
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, ActionName, RunId
from shared.model.phases import Phase

# Children are found by their parent's id: an index of their own, and no other would do.
_CHILDREN_OF = f"""
SELECT c.org, c.id, c.run_id FROM {{above}} b
JOIN actions c ON c.org = b.org AND c.parent_id = b.id AND {is_live("c.phase")}
"""

_LIVE_BELOW = statement(f"""
WITH RECURSIVE {given(id="uuid").removeprefix("WITH ")}, below AS (
    {_CHILDREN_OF.format(above="n")} UNION {_CHILDREN_OF.format(above="below")}
)
SELECT id, run_id FROM below ORDER BY id
""")

_LIVE_AND_BELOW = statement(f"""
WITH RECURSIVE below AS (
    SELECT org, id, run_id FROM actions
    WHERE org = :org AND run_id = :run_id AND name = :name AND {is_live("phase")}
  UNION {_CHILDREN_OF.format(above="below")}
)
SELECT id, run_id FROM below ORDER BY id
""")

_ABORT = statement(f"""
{given(id="uuid", change="bigint")}
UPDATE actions a
SET phase = {Phase.ABORTED.value}, ended_at = :now, updated_at = :now, change = n.change,
    abort_reason = :reason, aborted_by = :by
FROM n WHERE a.org = n.org AND a.id = n.id AND {is_live("a.phase")}
""")

_DROP_WAITING = statement(f"""
{given(id="uuid")}
DELETE FROM dispatches d USING n
WHERE d.org = n.org AND d.action_id = n.id AND d.lease_id IS NULL
""")

_STOP_LEASED = statement(f"""
{given(id="uuid")}
UPDATE dispatches d SET stop_reason = :reason, stop_at = :now
FROM n WHERE d.org = n.org AND d.action_id = n.id AND d.stop_reason IS NULL
RETURNING d.cluster
""")

_LOCK_DISPATCHES = statement(f"""
{given(id="uuid")}
SELECT 1 FROM n JOIN dispatches d ON d.org = n.org AND d.action_id = n.id
ORDER BY d.action_id FOR UPDATE OF d
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
    rows = await tx.rows(_LIVE_BELOW, {"id": list(parents)})
    ended = {ActionId(row.id): RunId(row.run_id) for row in rows}
    return await _end(tx, counters, ended, reason=PARENT_ENDED, by="", now=now)


async def lock_dispatches(tx: OrgTx, actions: Collection[ActionId]) -> None:
    """Lock what there is of these, in the order of all locks on that table."""
    await tx.execute(_LOCK_DISPATCHES, {"id": sorted(actions)})


async def let_go(
    tx: OrgTx, actions: Collection[ActionId], *, reason: str, now: datetime
) -> Sequence[str]:
    """Drop what waits, have stopped what is leased; returns the clusters to be told."""
    ids = sorted(actions)
    await tx.execute(_DROP_WAITING, {"id": ids})
    rows = await tx.rows(_STOP_LEASED, {"id": ids, "reason": reason, "now": now})
    return sorted({row.cluster for row in rows})


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
    await lock_dispatches(tx, ids)
    await tx.execute(
        _ABORT,
        {
            "id": ids,
            "change": [counters.next(run) for run in ended.values()],
            "reason": reason,
            "by": by,
            "now": now,
        },
    )
    return await let_go(tx, ids, reason=reason, now=now)
