"""
What becomes of leases when nobody speaks for them, on the clock that only runs while the
control plane serves: an outage of ours expires nobody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.phase_guards import has_ended
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId, OrgName, RunId

_TICK = statement("""
UPDATE control_clock
SET served = served + LEAST(GREATEST(:now - ticked_at, interval '0'), :most),
    ticked_at = GREATEST(ticked_at, :now)
RETURNING served
""")

# A cluster whose row another transaction holds is being heard, or is for the next pass.
_SILENT = statement("""
WITH silent AS MATERIALIZED (
    SELECT c.org, c.cluster FROM clusters c CROSS JOIN control_clock k
    WHERE c.connected AND k.served - c.seen_served > :silent_after
    ORDER BY c.org, c.cluster FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE clusters c SET connected = false FROM silent s
WHERE c.org = s.org AND c.cluster = s.cluster
RETURNING c.org, c.cluster
""")

_LOCK_CLUSTER = statement("""
SELECT 1 FROM clusters WHERE org = :org AND cluster = :cluster FOR NO KEY UPDATE
""")

# What may have lapsed of the cluster ``c``: the accepted leases of one that is away, and what
# the agent of one that is there does not know of.
_UNAVAILABLE = """
d.org = c.org AND d.cluster = c.cluster AND d.lease_id IS NOT NULL AND d.accepted_at IS NOT NULL
AND k.served - c.seen_served > :reassign_after
"""
_MISSING = """
d.org = c.org AND d.cluster = c.cluster AND d.missing_since IS NOT NULL
AND d.lease_id IS NOT NULL AND c.connected AND k.served - d.missing_since > :reassign_after
"""

# By cluster: what cannot be given back stays, and would hide all others behind a limit of rows.
_EXPIRED_ANYWHERE = statement(f"""
SELECT c.org, c.cluster FROM clusters c CROSS JOIN control_clock k
WHERE (c.org, c.cluster) > (:org_after, :cluster_after)
  AND ((SELECT 1 FROM dispatches d WHERE {_MISSING} LIMIT 1) IS NOT NULL
       OR (SELECT 1 FROM dispatches d
           JOIN actions a ON a.org = d.org AND a.id = d.action_id
           JOIN specs s ON s.org = a.org AND s.digest = a.spec
           WHERE {_UNAVAILABLE} AND (s.replaceable OR (d.stop_reason IS NOT NULL
                                                AND {has_ended("a.phase")}))
           LIMIT 1) IS NOT NULL)
ORDER BY c.org, c.cluster LIMIT :most
""")

_EXPIRED_OF_CLUSTER = statement(f"""
WITH lapsed AS MATERIALIZED (
    SELECT d.org, d.run_id, d.action_id, d.attempt, d.lease_id, false AS missing,
           d.stop_reason IS NOT NULL AS stopping
    FROM clusters c CROSS JOIN control_clock k JOIN dispatches d ON {_UNAVAILABLE}
    WHERE c.org = :org AND c.cluster = :cluster AND d.action_id > :after
  UNION ALL
    SELECT d.org, d.run_id, d.action_id, d.attempt, d.lease_id, true, false
    FROM clusters c CROSS JOIN control_clock k JOIN dispatches d ON {_MISSING}
    WHERE c.org = :org AND c.cluster = :cluster AND d.action_id > :after
)
SELECT l.action_id, l.run_id, l.attempt, l.lease_id, l.missing, t.version
FROM lapsed l
JOIN attempts t ON t.org = l.org AND t.action_id = l.action_id AND t.number = l.attempt
JOIN actions a ON a.org = l.org AND a.id = l.action_id
JOIN specs s ON s.org = l.org AND s.digest = a.spec
WHERE l.missing OR s.replaceable OR (l.stopping AND {has_ended("a.phase")})
ORDER BY l.action_id LIMIT :most
""")

# Whoever still holds the old lease is answered "stale", whatever version it reports.
_REVOKE = statement(f"""
{given(action_id="uuid", number="integer", lease_id="uuid")}
UPDATE attempts t SET lease_id = gen_random_uuid() FROM n
WHERE t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
  AND t.lease_id = n.lease_id AND t.ended_at IS NOT NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredLease:
    """A lease that nobody speaks for any more."""

    attempt: AttemptId
    lease: LeaseId
    run: RunId
    version: int  # of the last report that was applied
    missing: bool  # its agent is there and does not know of it; else its agent is away


async def tick(tx: FleetTx, now: datetime, *, most: timedelta) -> timedelta:
    """
    Let the control clock run to ``now``; returns for how long we have served in all.

    A gap longer than ``most`` is an outage, of which no more than ``most`` counts. Any
    number of replicas may tick; together they count each moment once.
    """
    row = (await tx.connection.execute(_TICK, {"now": now, "most": most})).one()
    lease_clock: timedelta = row.served
    return lease_clock


async def note_silent(
    tx: FleetTx, *, silent_after: timedelta
) -> Sequence[tuple[OrgName, ClusterName]]:
    """Note which clusters are not heard any more; returns those that fell silent now."""
    rows = await tx.connection.execute(_SILENT, {"silent_after": silent_after})
    return [(OrgName(row.org), ClusterName(row.cluster)) for row in rows.all()]


async def list_expired(
    tx: FleetTx,
    *,
    reassign_after: timedelta,
    after: tuple[OrgName, ClusterName],
    most: int,
) -> Sequence[tuple[OrgName, ClusterName]]:
    """List clusters of which something may be leased elsewhere now, by name, past ``after``."""
    org, cluster = after
    rows = await tx.connection.execute(
        _EXPIRED_ANYWHERE,
        {
            "reassign_after": reassign_after,
            "org_after": org,
            "cluster_after": cluster,
            "most": most,
        },
    )
    return [(OrgName(row.org), ClusterName(row.cluster)) for row in rows.all()]


async def lock_expired(
    tx: OrgTx, cluster: ClusterName, *, reassign_after: timedelta, after: ActionId, most: int
) -> Sequence[ExpiredLease]:
    """
    List what may be leased elsewhere now, past ``after``; until commit the cluster can begin
    no session.

    One that comes back in this moment is heard either before us, and then nothing has
    lapsed, or after us, and then it is told that it has lost its leases.
    """
    await tx.rows(_LOCK_CLUSTER, {"cluster": cluster})
    rows = await tx.rows(
        _EXPIRED_OF_CLUSTER,
        {"cluster": cluster, "reassign_after": reassign_after, "after": after, "most": most},
    )
    return [
        ExpiredLease(
            attempt=AttemptId(ActionId(row.action_id), row.attempt),
            lease=LeaseId(row.lease_id),
            run=RunId(row.run_id),
            version=row.version,
            missing=row.missing,
        )
        for row in rows
    ]


async def revoke(tx: OrgTx, leases: Sequence[ExpiredLease]) -> None:
    """Make the leases of attempts that were ended in their agent's place worthless."""
    await tx.plan_for(len(leases))
    await tx.execute(
        _REVOKE,
        {
            "action_id": [lease.attempt.action for lease in leases],
            "number": [lease.attempt.number for lease in leases],
            "lease_id": [lease.lease for lease in leases],
        },
    )
