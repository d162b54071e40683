"""
Aborts an action and all its descendants (``cascades``).

Waiting dispatches are deleted at once; leased ones are marked with a stop, which is sent to the
cluster's agent until it reports that nothing runs.
"""

from collections.abc import Collection
from datetime import datetime

from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import EndedParent, end_with_descendants
from controlplane.store.notify.changes import lock_free_runs, lock_runs, notify
from controlplane.store.phase_guards import is_live
from controlplane.store.statements import given, only_one, statement
from shared.model.ids import ROOT, ActionId, ActionName, RunId

_LIVE = statement(f"""
SELECT id FROM actions
WHERE org = :org AND run_id = :run_id AND name = :name AND {is_live("phase")}
""")


_LIVE_ROOTS = statement(f"""
{given(run_id="uuid")}
SELECT a.id, a.run_id FROM n CROSS JOIN LATERAL (
    SELECT a.id, a.run_id, a.phase FROM actions a
    WHERE a.org = n.org AND a.run_id = n.run_id AND {only_one("a.name", f"'{ROOT}'")}
) a
WHERE {is_live("a.phase")}
""")


async def abort_runs(
    tx: OrgTx, runs: Collection[RunId], *, reason: str, by: str, now: datetime
) -> int:
    """
    Abort runs that no other transaction has locked, as ``abort`` does; return how many actions ended.

    Those that are skipped, or have ended, are left as they are.
    """
    await tx.plan_for(len(runs))
    counters = await lock_free_runs(tx, runs)
    locked = [run for run in sorted(runs) if run in counters]
    rows = await tx.rows(_LIVE_ROOTS, {"run_id": locked})
    live = [
        EndedParent(id=ActionId(row.id), run=RunId(row.run_id), reason=reason, by=by)
        for row in rows
    ]
    if not live:
        return 0
    cascade = await end_with_descendants(tx, counters, live, now)
    await notify(
        tx,
        counters,
        stops=cascade.stops,
        cascades=cascade.is_marked,
        reservations=cascade.wakes_waiters,
    )
    return cascade.ended


async def abort(
    tx: OrgTx, run: RunId, action: ActionName, *, reason: str, by: str, now: datetime
) -> int:
    """
    Abort an action and its descendants; return how many ended (0: the action was not live).

    If there are more descendants than a page, the cascade loop ends them after this commit.
    """
    counters = await lock_runs(tx, [run])
    rows = await tx.rows(_LIVE, {"run_id": run, "name": action})
    if not rows:
        return 0
    live = [EndedParent(id=ActionId(row.id), run=run, reason=reason, by=by) for row in rows]
    cascade = await end_with_descendants(tx, counters, live, now)
    await notify(
        tx,
        counters,
        stops=cascade.stops,
        cascades=cascade.is_marked,
        reservations=cascade.wakes_waiters,
    )
    return cascade.ended
