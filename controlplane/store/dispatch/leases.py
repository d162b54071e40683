"""
Expires leases of clusters that stopped sending heartbeats, and leases unknown to their agent.

Time is measured on the lease clock, which runs only while the control plane serves: an outage
of the control plane expires no lease.
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

# SKIP LOCKED: a cluster whose row another transaction holds is sending a heartbeat, or is
# left to the next pass.
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

# The leases of cluster ``c`` that may have expired: the accepted ones if it sends no heartbeats,
# and those that its connected agent does not know. None after a restore (store.dispatch.restores).
_UNAVAILABLE = """
d.org = c.org AND d.cluster = c.cluster AND d.lease_id IS NOT NULL AND d.accepted_at IS NOT NULL
AND k.served - c.seen_served > :reassign_after AND c.restored_at IS NULL
"""
_MISSING = """
d.org = c.org AND d.cluster = c.cluster AND d.missing_since IS NOT NULL
AND d.lease_id IS NOT NULL AND c.connected AND k.served - d.missing_since > :reassign_after
AND c.restored_at IS NULL
"""

# Listed by cluster: leases that cannot be expired stay, and behind a limit of rows they would
# hide all others.
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

# An agent that still has the old lease is answered "stale", whatever version it reports.
_REVOKE = statement(f"""
{given(action_id="uuid", number="integer", lease_id="uuid")}
UPDATE attempts t SET lease_id = gen_random_uuid() FROM n
WHERE t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
  AND t.lease_id = n.lease_id AND t.ended_at IS NOT NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredLease:
    """An expired lease."""

    attempt: AttemptId
    lease: LeaseId
    run: RunId
    version: int  # of the last applied report
    missing: bool  # its connected agent does not know it; False: no heartbeats from its agent


async def tick(tx: FleetTx, now: datetime, *, most: timedelta) -> timedelta:
    """
    Advance the lease clock to ``now``; return its reading: the total time served.

    A gap longer than ``most`` is an outage and counts as ``most``. Any number of replicas may
    tick; together they count each moment once.
    """
    row = (await tx.connection.execute(_TICK, {"now": now, "most": most})).one()
    lease_clock: timedelta = row.served
    return lease_clock


async def note_silent(
    tx: FleetTx, *, silent_after: timedelta
) -> Sequence[tuple[OrgName, ClusterName]]:
    """Mark clusters without a heartbeat for ``silent_after``; return the newly marked ones."""
    rows = await tx.connection.execute(_SILENT, {"silent_after": silent_after})
    return [(OrgName(row.org), ClusterName(row.cluster)) for row in rows.all()]


async def list_expired(
    tx: FleetTx,
    *,
    reassign_after: timedelta,
    after: tuple[OrgName, ClusterName],
    most: int,
) -> Sequence[tuple[OrgName, ClusterName]]:
    """List clusters with leases that may have expired, by name, from after ``after`` on."""
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
    Lock and list a cluster's expired leases, from after ``after`` on.

    Until commit the cluster can open no session. An agent that reconnects meanwhile is recorded
    either before this transaction, and then nothing has expired, or after it, and then it
    learns that it has lost its leases.
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
    """Revoke the leases of attempts that the control plane ended in place of their agent."""
    await tx.plan_for(len(leases))
    await tx.execute(
        _REVOKE,
        {
            "action_id": [lease.attempt.action for lease in leases],
            "number": [lease.attempt.number for lease in leases],
            "lease_id": [lease.lease for lease in leases],
        },
    )
