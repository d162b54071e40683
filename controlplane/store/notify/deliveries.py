"""
The outbox of notifications: phases to report, and the deliveries that report them.

A delivery is claimed by moving its ``due_at`` ahead, in a short transaction, and sent outside of
any. If the replica stops before it records the result, another one sends it again, with the same
id: at least once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core.notifications import Channel, DeliveryState
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from shared.model.ids import (
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.phases import Phase

CONDITION_RULE = -1
"""Number of the rule of a condition's own webhook."""
CLAIMED_FOR = timedelta(minutes=1)
"""Longer than any try takes; then a delivery of a replica that stopped is tried again."""

# Jumps from org to org by the primary key: an org with many events hides no other.
_ORGS = statement("""
WITH RECURSIVE found AS (
    (SELECT org, 1 AS n FROM phase_events WHERE org > :after ORDER BY org LIMIT 1)
    UNION ALL
    SELECT (SELECT e.org FROM phase_events e WHERE e.org > f.org ORDER BY e.org LIMIT 1), n + 1
    FROM found f WHERE f.org IS NOT NULL AND n < :most
)
SELECT org FROM found WHERE org IS NOT NULL
""")

_EVENTS = statement("""
WITH page AS MATERIALIZED (
    SELECT org, action_id, phase, run_id FROM phase_events WHERE org = :org
    ORDER BY action_id, phase LIMIT :most FOR UPDATE SKIP LOCKED
)
SELECT p.action_id, p.phase, p.run_id, r.project, r.domain, s.body AS run_spec,
       t.body AS condition
FROM page p
LEFT JOIN runs r ON r.org = p.org AND r.run_id = p.run_id
LEFT JOIN specs s ON s.org = r.org AND s.digest = r.run_spec
LEFT JOIN actions a
  ON p.phase = 9 AND a.org = p.org AND a.id = p.action_id AND a.type = 3 AND a.notify <> 0
LEFT JOIN specs t ON t.org = a.org AND t.digest = a.spec
""")

_DELETE_EVENTS = statement(f"""
{given(action_id="uuid", phase="smallint")}
DELETE FROM phase_events e USING n
WHERE e.org = n.org AND e.action_id = n.action_id AND e.phase = n.phase
""")

_INSERT = statement(f"""
{given(
    delivery_id="uuid", project="text", domain="text", run_id="uuid", action_id="uuid", phase="smallint", rule="integer",
    channel="smallint", config="text", target="text", state="smallint", error="text",
    ended_at_="timestamptz",
)}
INSERT INTO deliveries (org, delivery_id, project, domain, run_id, action_id, phase, rule, channel,
                        config, target, state, error, ended_at, due_at, created_at)
SELECT n.org, n.delivery_id, n.project, n.domain, n.run_id, n.action_id, n.phase, n.rule, n.channel,
       n.config, n.target, n.state, n.error, n.ended_at, :now, :now
FROM n ON CONFLICT DO NOTHING
""")  # fmt: skip

# Jumps from receiver to receiver, each with its first delivery: one that is down, with any number
# of deliveries, costs one step.
_TARGETS = statement("""
WITH RECURSIVE found AS (
    (SELECT org, target, due_at, 1 AS n FROM deliveries
     WHERE state = 0 AND (org, target) > (:org_after, :target_after)
     ORDER BY org, target, due_at, delivery_id LIMIT 1)
    UNION ALL
    SELECT d.org, d.target, d.due_at, n + 1
    FROM found f CROSS JOIN LATERAL (
        SELECT e.org, e.target, e.due_at FROM deliveries e
        WHERE e.state = 0 AND (e.org, e.target) > (f.org, f.target)
        ORDER BY e.org, e.target, e.due_at, e.delivery_id LIMIT 1
    ) d
    WHERE n < :most
)
SELECT org, target, due_at <= :now AS is_due FROM found ORDER BY org, target
""")

_CLAIM = statement("""
WITH next AS MATERIALIZED (
    SELECT org, delivery_id FROM deliveries
    WHERE org = :org AND target = :target AND state = 0 AND due_at <= :now
    ORDER BY due_at, delivery_id LIMIT 1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE deliveries d SET due_at = :until_at, tries = d.tries + 1
    FROM next n WHERE d.org = n.org AND d.delivery_id = n.delivery_id
    RETURNING d.*
)
SELECT d.delivery_id, d.run_id, d.action_id, d.phase, d.rule, d.channel, d.config, d.tries,
       d.due_at, r.project, r.domain, r.run, a.name, a.error_message, a.abort_reason,
       s.body AS run_spec, t.body AS spec
FROM claimed d
LEFT JOIN actions a ON a.org = d.org AND a.id = d.action_id
LEFT JOIN runs r ON r.org = d.org AND r.run_id = d.run_id
LEFT JOIN specs s ON s.org = r.org AND s.digest = r.run_spec
LEFT JOIN specs t ON t.org = a.org AND t.digest = a.spec
""")

# ``due_at`` guards it, which each claim moves: one that was taken over records nothing.
_RECORD = statement("""
UPDATE deliveries
SET state = :state, due_at = :due_at, status = :status, error = :error, ended_at = :ended_at
WHERE org = :org AND delivery_id = :delivery_id AND state = 0 AND due_at = :claimed_until_at
""")

_FAIL = statement("""
UPDATE deliveries SET state = 2, error = 'the run was deleted', ended_at = :now
WHERE org = :org AND delivery_id = :delivery_id
""")

_FORGET = statement("""
DELETE FROM deliveries d USING (
    SELECT org, delivery_id FROM deliveries WHERE state <> 0 AND ended_at < :ended_at
    ORDER BY ended_at LIMIT :most FOR UPDATE SKIP LOCKED
) o
WHERE d.org = o.org AND d.delivery_id = o.delivery_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEvent:
    """A phase to report, with the RunSpec that says where; None: the run was deleted."""

    run: UUID
    action: UUID
    phase: Phase
    run_spec: bytes | None
    condition: bytes | None = None  # spec of a condition that calls a webhook of its own
    project: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A delivery to make; with an ``error`` it cannot be sent and is only shown."""

    id: UUID
    event: PhaseEvent
    rule: int
    channel: Channel
    config: str = ""
    target: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that this replica is to send now."""

    id: UUID
    action_id: UUID
    action: ActionKey
    phase: Phase
    rule: int
    channel: Channel
    config: str
    tries: int  # this one included
    until: datetime  # the end of the claim
    error: str  # of the action
    run_spec: bytes
    spec: bytes


async def list_orgs_with_events(tx: FleetTx, *, after: OrgName, most: int) -> Sequence[OrgName]:
    """List the orgs that have phases to report, by name."""
    rows = await tx.connection.execute(_ORGS, {"after": after, "most": most})
    return [OrgName(row.org) for row in rows]


async def lock_events(tx: OrgTx, *, most: int) -> Sequence[PhaseEvent]:
    """Lock phases to report that no other replica has locked."""
    return [
        PhaseEvent(
            run=row.run_id,
            action=row.action_id,
            phase=parse_enum(row.phase, Phase.UNKNOWN),
            run_spec=row.run_spec,
            condition=row.condition,
            project=row.project or "",
            domain=row.domain or "",
        )
        for row in await tx.rows(_EVENTS, {"most": most})
    ]


async def replace_events(
    tx: OrgTx, events: Sequence[PhaseEvent], made: Sequence[NewDelivery], now: datetime
) -> None:
    """Delete locked events, and insert the deliveries that report them."""
    if made:
        failed = [bool(each.error) for each in made]
        await tx.execute(
            _INSERT,
            {
                "delivery_id": [each.id for each in made],
                "project": [each.event.project for each in made],
                "domain": [each.event.domain for each in made],
                "run_id": [each.event.run for each in made],
                "action_id": [each.event.action for each in made],
                "phase": [each.event.phase.value for each in made],
                "rule": [each.rule for each in made],
                "channel": [each.channel.value for each in made],
                "config": [each.config for each in made],
                "target": [each.target for each in made],
                "state": [
                    (DeliveryState.FAILED if each else DeliveryState.PENDING).value
                    for each in failed
                ],
                "error": [each.error for each in made],
                "ended_at_": [now if each else None for each in failed],
                "now": now,
            },
        )
    await tx.execute(
        _DELETE_EVENTS,
        {
            "action_id": [each.action for each in events],
            "phase": [each.phase.value for each in events],
        },
    )


async def list_targets(
    tx: FleetTx, *, after: tuple[OrgName, str], most: int, now: datetime
) -> Sequence[tuple[OrgName, str, bool]]:
    """List receivers with pending deliveries by org and name, and whether one is due."""
    values = {"org_after": after[0], "target_after": after[1], "most": most, "now": now}
    rows = await tx.connection.execute(_TARGETS, values)
    return [(OrgName(row.org), row.target, row.is_due) for row in rows]


async def claim_delivery(tx: OrgTx, target: str, now: datetime) -> ClaimedDelivery | None:
    """Claim the next delivery to a receiver for ``CLAIMED_FOR``; None if none is due."""
    values = {"target": target, "now": now, "until_at": now + CLAIMED_FOR}
    while True:
        rows = await tx.rows(_CLAIM, values)
        if not rows:
            return None
        row = rows[0]
        if None not in (row.run, row.name, row.run_spec, row.spec):
            break
        await tx.execute(_FAIL, {"delivery_id": row.delivery_id, "now": now})
    run = RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run))
    return ClaimedDelivery(
        id=row.delivery_id,
        action_id=row.action_id,
        action=ActionKey(run, ActionName(row.name)),
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        rule=row.rule,
        channel=Channel(row.channel),
        config=row.config,
        tries=row.tries,
        until=row.due_at,
        error=row.error_message or row.abort_reason or "",
        run_spec=row.run_spec,
        spec=row.spec,
    )


async def record_delivery(
    tx: OrgTx,
    claimed: ClaimedDelivery,
    state: DeliveryState,
    *,
    due_at: datetime,
    ended_at: datetime | None,
    status: int,
    error: str,
) -> bool:
    """Record the result of a try; False if the delivery was claimed again meanwhile."""
    values: Mapping[str, object] = {
        "delivery_id": claimed.id,
        "claimed_until_at": claimed.until,
        "state": state.value,
        "due_at": due_at,
        "ended_at": ended_at,
        "status": status,
        "error": error,
    }
    return bool((await tx.execute(_RECORD, values)).rowcount)


async def forget_deliveries(tx: FleetTx, *, before: datetime, most: int) -> int:
    """Delete deliveries that ended long ago; return how many."""
    result = await tx.connection.execute(_FORGET, {"ended_at": before, "most": most})
    return result.rowcount
