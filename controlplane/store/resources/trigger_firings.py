"""Records and lists firings of triggers; a number of them is kept for each trigger."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import SmallInteger, Text, bindparam, select

from controlplane.core.firings import (
    MOST_FIRINGS,
    Firing,
    FiringOutcome,
    FiringPage,
    FiringReason,
)
from controlplane.core.lists import Listing
from controlplane.core.triggers import MAX_ERROR, TriggerKey
from controlplane.store.database import OrgTx
from controlplane.store.resources.filters import among, numbers
from controlplane.store.resources.pages import Key, page
from controlplane.store.resources.trigger_keys import KEYS, SAME_KEY, key_arrays, key_values
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from controlplane.store.trigger_tables import trigger_firings

_FIRING = {
    "number": "bigint",
    "outcome": "smallint",
    "reason": "text",
    "message": "text",
    "instant": "timestamptz",
    "last_instant": "timestamptz",
    "instants": "bigint",
    "run": "text",
}
_RECORD = statement(f"""
{given(**KEYS, **_FIRING)}, old AS (
    DELETE FROM trigger_firings t USING n
    WHERE {SAME_KEY} AND t.number <= n.number - :kept
)
INSERT INTO trigger_firings (org, {", ".join({**KEYS, **_FIRING})}, decided_at)
SELECT n.org, {", ".join(f"n.{name}" for name in {**KEYS, **_FIRING})}, :now FROM n
""")

_RECORD_ONE = statement(f"""
WITH n AS (
    UPDATE triggers
    SET triggered_at = CASE WHEN :run = '' THEN triggered_at
                            ELSE greatest(triggered_at, :now) END,
        skipped = skipped + CASE WHEN :run = '' THEN 1 ELSE 0 END,
        error = CASE WHEN :run = '' THEN :message ELSE error END,
        error_at = CASE WHEN :run = '' THEN :now ELSE error_at END,
        firings = firings + 1
    WHERE org = :org AND project = :project AND domain = :domain AND task_name = :task_name
      AND name = :name AND deleted_at IS NULL
    RETURNING org, project, domain, task_name, name, firings AS number
), old AS (
    DELETE FROM trigger_firings t USING n WHERE {SAME_KEY} AND t.number <= n.number - :kept
)
INSERT INTO trigger_firings (org, {", ".join(KEYS)}, number, outcome, reason, message, instant,
                             last_instant, instants, run, decided_at, decided_by)
SELECT n.org, {", ".join(f"n.{name}" for name in KEYS)}, n.number, :outcome, :reason, :message,
       :started_at, :started_at, 1, :run, :now, :by
FROM n
RETURNING number
""").bindparams(
    *(bindparam(name, type_=Text) for name in ("run", "message", "reason", "by")),
    bindparam("outcome", type_=SmallInteger),
)


async def record_firings(
    tx: OrgTx, fired: Sequence[tuple[TriggerKey, Firing]], now: datetime
) -> None:
    """Record firings of triggers that this transaction has locked, and forget their oldest ones."""
    if not fired:
        return
    firings = [firing for _, firing in fired]
    await tx.execute(
        _RECORD,
        {
            **key_arrays([key for key, _ in fired]),
            "number": [firing.number for firing in firings],
            "outcome": [firing.outcome.value for firing in firings],
            "reason": [firing.reason for firing in firings],
            "message": [firing.message for firing in firings],
            "instant": [firing.instant for firing in firings],
            "last_instant": [firing.last_instant for firing in firings],
            "instants": [firing.instants for firing in firings],
            "run": [firing.run for firing in firings],
            "kept": MOST_FIRINGS,
            "now": now,
        },
    )


async def record_one(
    tx: OrgTx,
    key: TriggerKey,
    reason: FiringReason,
    *,
    instant: datetime,
    now: datetime,
    run: str = "",
    message: str = "",
    by: str = "",
) -> bool:
    """
    Record a firing that is not scheduled, and lock its trigger; False if there is no such trigger.

    Without a run it is skipped, and ``message`` says why.
    """
    outcome = FiringOutcome.STARTED if run else FiringOutcome.SKIPPED
    return bool(
        await tx.rows(
            _RECORD_ONE,
            {
                **key_values(key),
                "outcome": outcome.value,
                "reason": reason.value,
                "message": message[:MAX_ERROR],
                "run": run,
                "started_at": instant,
                "by": by,
                "kept": MOST_FIRINGS,
                "now": now,
            },
        )
    )


async def list_firings(tx: OrgTx, key: TriggerKey, listing: Listing) -> FiringPage:
    """List the firings of a trigger, which may be deleted; the newest first."""
    columns = trigger_firings.c
    query = select(trigger_firings).where(
        columns.org == tx.org,
        columns.project == key.project,
        columns.domain == key.domain,
        columns.task_name == key.task_name,
        columns.name == key.name,
    )
    fields = among({"outcome": numbers(columns.outcome), "number": numbers(columns.number)})
    newest = (Key(fields("number"), ascending=False),)
    rows, token = await page(tx, query, fields, listing, newest)
    return FiringPage(
        [
            Firing(
                number=row.number,
                outcome=parse_enum(row.outcome, FiringOutcome.UNKNOWN),
                reason=row.reason,
                message=row.message,
                instant=row.instant,
                last_instant=row.last_instant,
                instants=row.instants,
                decided_at=row.decided_at,
                run=row.run,
                by=row.decided_by,
            )
            for row in rows
        ],
        token,
    )
