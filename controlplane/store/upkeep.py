"""What the background passes do to tables: patience that ends, days that begin and end."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from controlplane.store.changes import lock_runs, tell
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.guards import is_live, may_become
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, OrgName, RunId
from shared.model.phases import Phase
from shared.model.reports import FailureKind

_DUE = statement(f"""
SELECT org, id, run_id FROM actions
WHERE due_at <= :now AND due_at IS NOT NULL AND {is_live("phase")}
ORDER BY due_at LIMIT :most
""")

_TIME_OUT = statement(f"""
{given(id="uuid", change="bigint")}
UPDATE actions a
SET phase = {Phase.TIMED_OUT.value}, ended_at = :now, updated_at = :now, change = n.change,
    error_code = 'CONDITION_TIMEOUT', error_kind = {FailureKind.USER.value},
    error_message = 'Nobody answered the condition in time.', error_recoverable = false
FROM n WHERE a.org = n.org AND a.id = n.id AND a.due_at <= :now
  AND {may_become("a.phase", str(Phase.TIMED_OUT.value))}
""")

_ADD_DAYS = statement("SELECT add_action_events_days(:first, :days) AS added")
_DROP_DAYS = statement("SELECT drop_action_events_before(:first) AS dropped")


async def list_due(
    tx: FleetTx, *, most: int, now: datetime
) -> Mapping[OrgName, Sequence[tuple[ActionId, RunId]]]:
    """List the actions whose patience has ended, by org."""
    due: dict[OrgName, list[tuple[ActionId, RunId]]] = defaultdict(list)
    for row in (await tx.connection.execute(_DUE, {"now": now, "most": most})).all():
        due[OrgName(row.org)].append((ActionId(row.id), RunId(row.run_id)))
    return due


async def time_out(tx: OrgTx, due: Sequence[tuple[ActionId, RunId]], now: datetime) -> int:
    """End these actions TIMED_OUT, if they still wait; returns how many did."""
    counters = await lock_runs(tx, {run for _, run in due})
    ended = await tx.execute(
        _TIME_OUT,
        {
            "id": [action for action, _ in due],
            "change": [counters.next(run) for _, run in due],
            "now": now,
        },
    )
    await tell(tx, counters)
    return ended.rowcount


async def add_event_days(tx: FleetTx, first: date, days: int) -> int:
    """Make partitions of action_events for ``days`` from ``first`` on; returns how many."""
    rows = await tx.connection.execute(_ADD_DAYS, {"first": first, "days": days})
    added: int = rows.one().added
    return added


async def drop_event_days(tx: FleetTx, before: date) -> int:
    """Drop the events of all days before ``before``; returns how many days."""
    rows = await tx.connection.execute(_DROP_DAYS, {"first": before})
    dropped: int = rows.one().dropped
    return dropped
