"""
What becomes of leases when nobody speaks for them, on the clock that only runs while the
control plane serves: an outage of ours expires nobody's.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.guards import has_ended
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

_LOCK_CLUSTER = statement("""
SELECT 1 FROM clusters WHERE org = :org AND cluster = :cluster FOR NO KEY UPDATE
""")

_LAPSED = """
WITH lapsed AS MATERIALIZED (
    SELECT d.org, d.cluster, d.action_id, d.attempt, d.lease_id, false AS missing,
           d.stop_reason IS NOT NULL AS stopping
    FROM control_clock k
    JOIN clusters c ON {scope} AND k.served - c.seen_served > :reassign_after
    JOIN dispatches d ON d.org = c.org AND d.cluster = c.cluster AND d.lease_id IS NOT NULL
    WHERE d.accepted_at IS NOT NULL
  UNION ALL
    SELECT d.org, d.cluster, d.action_id, d.attempt, d.lease_id, true, false
    FROM control_clock k
    JOIN clusters c ON {scope} AND c.connected
    JOIN dispatches d ON d.org = c.org AND d.cluster = c.cluster AND d.missing_since IS NOT NULL
    WHERE d.lease_id IS NOT NULL AND k.served - d.missing_since > :reassign_after
)
SELECT l.org, l.cluster, l.action_id, l.attempt, l.lease_id, l.missing, t.version
FROM lapsed l
JOIN attempts t ON t.org = l.org AND t.action_id = l.action_id AND t.number = l.attempt
JOIN actions a ON a.org = l.org AND a.id = l.action_id
JOIN specs s ON s.org = l.org AND s.digest = a.spec
WHERE l.missing OR s.replaceable OR (l.stopping AND {ended})
ORDER BY l.org, l.action_id LIMIT :most
"""
_LAPSED_ANYWHERE = statement(_LAPSED.format(scope="true", ended=has_ended("a.phase")))
_LAPSED_OF_CLUSTER = statement(
    _LAPSED.format(scope="c.org = :org AND c.cluster = :cluster", ended=has_ended("a.phase"))
)

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
) -> Mapping[OrgName, Collection[ClusterName]]:
    """List the clusters of which something may be leased elsewhere now, by org."""
    values = {"reassign_after": reassign_after, "most": most}
    lapsed: dict[OrgName, set[ClusterName]] = defaultdict(set)
    for row in (await tx.connection.execute(_LAPSED_ANYWHERE, values)).all():
        lapsed[OrgName(row.org)].add(ClusterName(row.cluster))
    return lapsed


async def lock_lapsed(
    tx: OrgTx, cluster: ClusterName, *, reassign_after: timedelta, most: int
) -> Sequence[LapsedLease]:
    """
    List what may be leased elsewhere now; until commit the cluster can begin no session.

    One that comes back in this moment is heard either before us, and then nothing has
    lapsed, or after us, and then it is told that it has lost its leases.
    """
    await tx.rows(_LOCK_CLUSTER, {"cluster": cluster})
    rows = await tx.rows(
        _LAPSED_OF_CLUSTER,
        {"cluster": cluster, "reassign_after": reassign_after, "most": most},
    )
    return [
        LapsedLease(
            attempt=AttemptId(ActionId(row.action_id), row.attempt),
            lease=LeaseId(row.lease_id),
            version=row.version,
            missing=row.missing,
        )
        for row in rows
    ]


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
