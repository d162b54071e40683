"""
What becomes of leases when nobody speaks for them, on the clock that only runs while the
control plane serves: an outage of ours expires nobody's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId, OrgName

_TICK = statement("""
UPDATE control_clock
SET served = served + LEAST(GREATEST(:now - ticked_at, interval '0'), :most),
    ticked_at = GREATEST(ticked_at, :now)
RETURNING served
""")

_SILENT = statement("""
UPDATE clusters c SET connected = false
FROM control_clock k
WHERE c.connected AND k.served - c.seen_served > :silent_after
RETURNING c.org, c.cluster
""")

_LAPSED = statement("""
WITH lapsed AS MATERIALIZED (
    SELECT d.org, d.cluster, d.action_id, d.attempt, d.lease_id, false AS missing,
           d.stop_reason IS NOT NULL AS stopping
    FROM control_clock k
    JOIN clusters c ON k.served - c.seen_served > :reassign_after
    JOIN dispatches d ON d.org = c.org AND d.cluster = c.cluster AND d.lease_id IS NOT NULL
    WHERE d.accepted_at IS NOT NULL
  UNION ALL
    SELECT d.org, d.cluster, d.action_id, d.attempt, d.lease_id, true, false
    FROM control_clock k
    JOIN clusters c ON c.connected
    JOIN dispatches d ON d.org = c.org AND d.cluster = c.cluster AND d.missing_since IS NOT NULL
    WHERE d.lease_id IS NOT NULL AND k.served - d.missing_since > :reassign_after
)
SELECT l.org, l.cluster, l.action_id, l.attempt, l.lease_id, l.missing, t.version
FROM lapsed l
JOIN attempts t ON t.org = l.org AND t.action_id = l.action_id AND t.number = l.attempt
JOIN actions a ON a.org = l.org AND a.id = l.action_id
JOIN specs s ON s.org = l.org AND s.digest = a.spec
WHERE l.missing OR l.stopping OR s.replaceable
ORDER BY l.org, l.action_id LIMIT :most
""")

# Whoever still holds the old lease is answered "stale", whatever version it reports.
_VOID = statement(f"""
{given(action_id="uuid", number="integer", lease_id="uuid")}
UPDATE attempts t SET lease_id = gen_random_uuid() FROM n
WHERE t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
  AND t.lease_id = n.lease_id AND t.ended_at IS NOT NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LapsedLease:
    """A lease that nobody speaks for any more."""

    cluster: ClusterName
    attempt: AttemptId
    lease: LeaseId
    version: int  # of the last report that was applied
    missing: bool  # its agent is there and does not know of it; else its agent is away


async def tick(tx: FleetTx, now: datetime, *, most: timedelta) -> timedelta:
    """
    Let the control clock run to ``now``; returns for how long we have served in all.

    A gap longer than ``most`` is an outage, of which no more than ``most`` counts. Any
    number of replicas may tick; together they count each moment once.
    """
    row = (await tx.connection.execute(_TICK, {"now": now, "most": most})).one()
    served: timedelta = row.served
    return served


async def note_silent(
    tx: FleetTx, *, silent_after: timedelta
) -> Sequence[tuple[OrgName, ClusterName]]:
    """Note which clusters are not heard any more; returns those that fell silent now."""
    rows = await tx.connection.execute(_SILENT, {"silent_after": silent_after})
    return [(OrgName(row.org), ClusterName(row.cluster)) for row in rows.all()]


async def list_lapsed(
    tx: FleetTx, *, reassign_after: timedelta, most: int
) -> Mapping[OrgName, Sequence[LapsedLease]]:
    """List what may be leased elsewhere now, by org."""
    rows = await tx.connection.execute(_LAPSED, {"reassign_after": reassign_after, "most": most})
    lapsed: dict[OrgName, list[LapsedLease]] = defaultdict(list)
    for row in rows.all():
        lapsed[OrgName(row.org)].append(
            LapsedLease(
                cluster=ClusterName(row.cluster),
                attempt=AttemptId(ActionId(row.action_id), row.attempt),
                lease=LeaseId(row.lease_id),
                version=row.version,
                missing=row.missing,
            )
        )
    return lapsed


async def void(tx: OrgTx, leases: Sequence[LapsedLease]) -> None:
    """Make the leases of attempts that were ended in their agent's place worthless."""
    await tx.execute(
        _VOID,
        {
            "action_id": [lease.attempt.action for lease in leases],
            "number": [lease.attempt.number for lease in leases],
            "lease_id": [lease.lease for lease in leases],
        },
    )
