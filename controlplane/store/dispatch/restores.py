"""
Takes over leases that a restored database has forgotten, and lists actions that no agent has.

While ``clusters.restored_at`` is set a cluster leases no work and its leases do not expire: agents
first say what they hold. An agent's word about a lease that is newer than the database's is taken:
the database is a copy, and only a control plane gives leases.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from controlplane.core.restores import Finding, FindingKind, LiveDispatch, RestoredCluster
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    ClusterName,
    DomainName,
    LeaseId,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.phases import Phase

# A later attempt is proof that the one before has ended; the same attempt was leased after the
# copy if the copy has it waiting, or on its way to a cluster. Of several of an action the last.
_ADOPT = statement(f"""
{given(action_id="uuid", number="integer", lease_id="uuid")}, newest AS MATERIALIZED (
    SELECT DISTINCT ON (n.action_id) n.* FROM n ORDER BY n.action_id, n.number DESC
), locked AS MATERIALIZED (
    SELECT d.org, d.action_id, d.queue, d.pool, d.available_at, n.number, n.lease_id
    FROM newest n CROSS JOIN LATERAL (
        SELECT * FROM dispatches d WHERE d.org = n.org AND d.action_id = n.action_id LIMIT 1
    ) x
    JOIN dispatches d ON d.org = x.org AND d.action_id = x.action_id
    WHERE d.lease_id IS DISTINCT FROM n.lease_id
      AND (n.number > d.attempt
           OR (n.number = d.attempt AND (d.lease_id IS NULL OR d.accepted_at IS NULL)))
    ORDER BY d.action_id FOR UPDATE OF d
), superseded AS (
    UPDATE attempts t
    SET phase = {Phase.FAILED.value}, ended_at = :now, error_code = 'Restored', error_kind = 2,
        error_recoverable = true, error_uri = '',
        error_message = 'It ended after the backup from which the database was restored.'
    FROM locked l
    WHERE t.org = l.org AND t.action_id = l.action_id AND t.number < l.number AND t.ended_at IS NULL
), counted AS (
    UPDATE actions a SET attempts = l.number FROM locked l
    WHERE a.org = l.org AND a.id = l.action_id AND a.attempts < l.number
), leased AS (
    UPDATE dispatches d
    SET attempt = l.number, lease_id = l.lease_id, cluster = :cluster, leased_at = :now,
        accepted_at = :now, missing_since = NULL
    FROM locked l WHERE d.org = l.org AND d.action_id = l.action_id
), begun AS (
    INSERT INTO attempts (org, action_id, number, lease_id, cluster, epoch, phase, queue, pool,
                          available_at, leased_at, accepted_at)
    SELECT org, action_id, number, lease_id, :cluster,
           COALESCE((SELECT c.epoch FROM clusters c WHERE c.org = :org AND c.cluster = :cluster), 0),
           {Phase.QUEUED.value}, queue, pool, LEAST(available_at, :now), :now, :now
    FROM locked
    ON CONFLICT (org, action_id, number)
    DO UPDATE SET lease_id = EXCLUDED.lease_id, cluster = EXCLUDED.cluster, epoch = EXCLUDED.epoch,
                  leased_at = EXCLUDED.leased_at, accepted_at = EXCLUDED.accepted_at
)
SELECT action_id, number, lease_id FROM locked
""")

_FOUND = statement(f"""
{given(action_id="uuid", attempt="integer", lease_id="uuid")}
INSERT INTO restore_findings (org, action_id, attempt, lease_id, cluster, kind, found_at)
SELECT n.org, n.action_id, n.attempt, n.lease_id, :cluster, :kind, :now FROM n
ON CONFLICT (org, action_id, attempt, lease_id) DO UPDATE SET kind = EXCLUDED.kind
""")

_LAST = statement("SELECT taken_at, restored_at FROM restores ORDER BY restored_at DESC LIMIT 1")

_RECONCILED = statement("""
UPDATE clusters SET reconciled_at = :now
WHERE org = :org AND cluster = :cluster AND restored_at IS NOT NULL
""")

_CLUSTERS = statement("""
SELECT c.cluster, c.restored_at, c.reconciled_at,
       (SELECT count(*) FROM dispatches d
        WHERE d.org = c.org AND d.cluster = c.cluster AND d.lease_id IS NOT NULL) AS leased
FROM clusters c WHERE c.org = :org AND c.restored_at IS NOT NULL ORDER BY c.cluster
""")

_FINDINGS = statement("""
SELECT f.*, a.name, r.project, r.domain, r.run
FROM (SELECT * FROM restore_findings f WHERE f.org = :org
      ORDER BY f.org, f.action_id, f.attempt, f.lease_id LIMIT :most) f
LEFT JOIN actions a ON a.org = f.org AND a.id = f.action_id
LEFT JOIN runs r ON r.org = a.org AND r.run_id = a.run_id
ORDER BY f.action_id, f.attempt, f.lease_id
""")

# Leases of clusters that have not reported are left: their agents may have them.
_UNHELD = statement("""
SELECT d.action_id, d.attempt, d.lease_id, d.cluster, a.name, r.project, r.domain, r.run, r.run_base
FROM dispatches d
JOIN actions a ON a.org = d.org AND a.id = d.action_id
JOIN runs r ON r.org = d.org AND r.run_id = d.run_id
WHERE d.org = :org AND d.action_id > :after
  AND (d.lease_id IS NULL OR EXISTS (
      SELECT FROM restore_findings f WHERE f.org = d.org AND f.action_id = d.action_id
        AND f.attempt = d.attempt AND f.lease_id = d.lease_id AND f.kind = 'missing'))
ORDER BY d.action_id LIMIT :most
""")

# The agents of these clusters have said that they do not have these leases.
_MISSING = statement("""
UPDATE dispatches d SET missing_since = (SELECT served FROM control_clock)
FROM restore_findings f
WHERE f.org = :org AND f.kind = 'missing' AND d.org = f.org AND d.action_id = f.action_id
  AND d.attempt = f.attempt AND d.lease_id = f.lease_id AND d.missing_since IS NULL
""")

_RELEASE = statement("""
UPDATE clusters
SET restored_at = NULL, reconciled_at = NULL, wanted_version = wanted_version + 1
WHERE org = :org AND restored_at IS NOT NULL AND (reconciled_at IS NOT NULL OR cluster = ANY(:names))
RETURNING cluster
""")


async def find_last_restore(tx: FleetTx) -> tuple[datetime, datetime] | None:
    """Return what the database's last backup shows, and when it was restored; None: it never was."""
    row = (await tx.connection.execute(_LAST)).one_or_none()
    return None if row is None else (row.taken_at, row.restored_at)


async def adopt(
    tx: OrgTx, cluster: ClusterName, leases: Collection[tuple[AttemptId, LeaseId]], now: datetime
) -> Collection[tuple[AttemptId, LeaseId]]:
    """Take over those leases that are newer than the database's; return them. Idempotent."""
    await tx.plan_for(len(leases))
    rows = await tx.rows(
        _ADOPT,
        {
            "cluster": cluster,
            "action_id": [attempt.action for attempt, _ in leases],
            "number": [attempt.number for attempt, _ in leases],
            "lease_id": [lease for _, lease in leases],
            "now": now,
        },
    )
    return [(AttemptId(row.action_id, row.number), LeaseId(row.lease_id)) for row in rows]


async def record_findings(
    tx: OrgTx,
    cluster: ClusterName,
    kind: FindingKind,
    leases: Collection[tuple[AttemptId, LeaseId]],
    now: datetime,
) -> None:
    """Record what was found of these attempts; a later finding of the same lease replaces it."""
    if leases:
        values = {
            "action_id": [attempt.action for attempt, _ in leases],
            "attempt": [attempt.number for attempt, _ in leases],
            "lease_id": [lease for _, lease in leases],
        }
        await tx.execute(_FOUND, {**values, "cluster": cluster, "kind": kind.value, "now": now})


async def note_reconciled(tx: OrgTx, cluster: ClusterName, now: datetime) -> None:
    """Record that the cluster's agent has reported its inventory since the restore."""
    await tx.execute(_RECONCILED, {"cluster": cluster, "now": now})


async def list_restored_clusters(tx: OrgTx) -> Sequence[RestoredCluster]:
    """List the clusters of the org that lease no work since a restore."""
    return [
        RestoredCluster(
            name=ClusterName(row.cluster),
            restored_at=row.restored_at,
            reconciled_at=row.reconciled_at,
            leased=row.leased,
        )
        for row in await tx.rows(_CLUSTERS)
    ]


async def list_findings(tx: OrgTx, *, most: int) -> Sequence[Finding]:
    """List what was found of attempts, by action; the first ``most``."""
    return [
        Finding(
            kind=parse_enum(row.kind, FindingKind.UNKNOWN),
            attempt=AttemptId(ActionId(row.action_id), row.attempt),
            lease=LeaseId(row.lease_id),
            cluster=ClusterName(row.cluster),
            found_at=row.found_at,
            action=None if row.run is None else _key(row.project, row.domain, row.run, row.name),
        )
        for row in await tx.rows(_FINDINGS, {"most": most})
    ]


async def list_unheld(tx: OrgTx, *, after: ActionId, most: int) -> Sequence[LiveDispatch]:
    """List live actions that no agent is known to have, by id from after ``after`` on."""
    return [
        LiveDispatch(
            attempt=AttemptId(ActionId(row.action_id), row.attempt),
            action=_key(row.project, row.domain, row.run, row.name),
            run_base=row.run_base,
            lease=None if row.lease_id is None else LeaseId(row.lease_id),
            cluster=None if row.cluster is None else ClusterName(row.cluster),
        )
        for row in await tx.rows(_UNHELD, {"after": after, "most": most})
    ]


async def release(tx: OrgTx, without: Collection[ClusterName]) -> Sequence[ClusterName]:
    """
    Let clusters lease work again: those that have reported, and those of ``without``.

    Leases that their agents do not have expire from now on.
    """
    await tx.execute(_MISSING)
    return [ClusterName(row.cluster) for row in await tx.rows(_RELEASE, {"names": sorted(without)})]


def _key(project: str, domain: str, run: str, name: str) -> ActionKey:
    return ActionKey(
        RunKey(ProjectName(project), DomainName(domain), RunName(run)), ActionName(name)
    )
