"""
Aborts an action and all its descendants (``cascades``).

Waiting dispatches are deleted at once; leased ones are marked with a stop, which is sent to the
cluster's agent until it reports that nothing runs.
"""

from datetime import datetime

from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import EndedParent, end_with_descendants
from controlplane.store.notify.changes import lock_runs, notify
from controlplane.store.phase_guards import is_live
from controlplane.store.statements import statement
from shared.model.ids import ActionId, ActionName, RunId

_LIVE = statement(f"""
SELECT id FROM actions
WHERE org = :org AND run_id = :run_id AND name = :name AND {is_live("phase")}
""")


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
