"""
Queues the outputs that succeeded attempts declare as artifacts, until they are registered.

A row is written with the report of the success, so none is lost, and deleted with the insertion of
its artifacts, so none is registered twice. A claim is a time: a row whose replica stopped is due
again later, each time after twice as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.rows import parse_key
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, ActionKey, AttemptId, OrgName
from shared.model.phases import Phase

_ENQUEUE = statement(f"""
{given(action_id="uuid", attempt="integer", output_uri="text")}
INSERT INTO artifact_registrations (org, action_id, attempt, output_uri, created_at, due_at)
SELECT n.org, n.action_id, n.attempt, n.output_uri, :now, :now FROM n ON CONFLICT DO NOTHING
""")

_CLAIM = statement("""
WITH due AS MATERIALIZED (
    SELECT org, action_id, attempt FROM artifact_registrations WHERE due_at <= :now
    ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE artifact_registrations g
    SET claims = g.claims + 1,
        due_at = :now + LEAST(power(2, LEAST(g.claims, 10)), 60) * interval '1 minute'
    FROM due d WHERE g.org = d.org AND g.action_id = d.action_id AND g.attempt = d.attempt
    RETURNING g.org, g.action_id, g.attempt, g.output_uri
)
SELECT c.org, c.action_id, c.attempt, c.output_uri, r.project, r.domain, r.run, a.name
FROM claimed c
CROSS JOIN LATERAL (SELECT * FROM actions a WHERE a.org = c.org AND a.id = c.action_id LIMIT 1) a
CROSS JOIN LATERAL (SELECT * FROM runs r WHERE r.org = a.org AND r.run_id = a.run_id LIMIT 1) r
ORDER BY c.org, c.action_id, c.attempt
""")

_FINISH = statement("""
DELETE FROM artifact_registrations
WHERE org = :org AND action_id = :action_id AND attempt = :attempt RETURNING 1
""")

_ADD_EVENTS = statement(f"""
UPDATE action_events e SET events = e.events || CAST(:events AS jsonb)
WHERE e.org = :org AND e.action_id = :action_id AND e.attempt = :attempt
  AND e.phase = {Phase.SUCCEEDED.value}
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRegistration:
    """A succeeded attempt, the outputs of which declare artifacts."""

    org: OrgName
    action: ActionKey
    attempt: AttemptId
    output_uri: str


async def enqueue_registrations(
    tx: OrgTx, succeeded: Sequence[tuple[AttemptId, str]], now: datetime
) -> None:
    """Queue these attempts with their output prefixes; one that is queued stays as it is."""
    if succeeded:
        await tx.execute(
            _ENQUEUE,
            {
                "action_id": [attempt.action for attempt, _ in succeeded],
                "attempt": [attempt.number for attempt, _ in succeeded],
                "output_uri": [uri for _, uri in succeeded],
                "now": now,
            },
        )


async def claim_registrations(
    tx: FleetTx, now: datetime, *, most: int
) -> Sequence[DueRegistration]:
    """Return up to ``most`` that are due, which are not due again for a minute or more."""
    rows = await tx.connection.execute(_CLAIM, {"now": now, "most": most})
    return [
        DueRegistration(
            org=OrgName(row.org),
            action=parse_key(row),
            attempt=AttemptId(ActionId(row.action_id), row.attempt),
            output_uri=row.output_uri,
        )
        for row in rows
    ]


async def finish_registration(tx: OrgTx, attempt: AttemptId) -> bool:
    """Take the attempt off the queue; False if another transaction has done so."""
    return bool(await tx.rows(_FINISH, {"action_id": attempt.action, "attempt": attempt.number}))


async def add_events(tx: OrgTx, attempt: AttemptId, events: str) -> None:
    """Append events, a JSON array as in ``action_events.events``, to those of the success."""
    await tx.execute(
        _ADD_EVENTS, {"action_id": attempt.action, "attempt": attempt.number, "events": events}
    )
