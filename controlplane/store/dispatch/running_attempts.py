"""Finds attempts that are running: accepted by a cluster, and not asked to stop."""

from collections.abc import Collection, Mapping

from controlplane.core.attempt_callers import RunningAttempt
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.phase_guards import unestimated
from controlplane.store.statements import given, not_deleted, statement
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    ClusterName,
    DomainName,
    LeaseId,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)

# Each is looked up by full key (LIMIT): a join would read the leased dispatches of whole runs.
_LEASED = """
CROSS JOIN LATERAL (
    SELECT d.org, d.run_id, d.action_id, d.attempt, d.lease_id FROM dispatches d
    WHERE d.org = n.org AND d.action_id = n.action_id AND {running} LIMIT 1
) d
"""
_IS_RUNNING = "d.lease_id = n.lease_id AND d.accepted_at IS NOT NULL AND d.stop_reason IS NULL"

_RUNNING = f"""
{given(action_id="uuid", lease_id="uuid")}
SELECT d.action_id, d.attempt, d.lease_id, r.project, r.domain, r.run, a.name
FROM n {_LEASED}
CROSS JOIN LATERAL (
    SELECT a.name FROM actions a WHERE a.org = d.org AND a.id = d.action_id LIMIT 1
) a
CROSS JOIN LATERAL (
    SELECT r.project, r.domain, r.run FROM runs r
    WHERE r.org = d.org AND r.run_id = d.run_id LIMIT 1
) r
WHERE {not_deleted("n.org")}
"""
_FIND = statement(_RUNNING.format(running=unestimated(_IS_RUNNING)))
_FIND_OF_CLUSTER = statement(
    _RUNNING.format(running=unestimated(f"{_IS_RUNNING} AND d.cluster = :cluster"))
)
_STILL_RUNNING = statement(
    f"""
{given(org="text", action_id="uuid", lease_id="uuid")}
SELECT d.org, d.lease_id FROM n {_LEASED.format(running=unestimated(_IS_RUNNING))}
WHERE {not_deleted("n.org")}
"""
)

# A run names the run that started it, so the search goes up; a cycle cannot be, but ends too.
_DESCENDS = statement("""
WITH RECURSIVE above AS (
    SELECT r.run_id, r.spawned_by FROM runs r
    WHERE r.org = :org AND r.project = :project AND r.domain = :domain AND r.run = :run
    UNION
    SELECT p.run_id, p.spawned_by FROM above a
    JOIN runs p ON p.org = :org AND p.run_id = a.spawned_by
)
SELECT 1 FROM above a
JOIN runs o ON o.org = :org AND o.run_id = a.spawned_by
WHERE o.project = :own_project AND o.domain = :own_domain AND o.run = :own_run
LIMIT 1
""")


async def find_running(
    tx: OrgTx,
    leases: Collection[tuple[ActionId, LeaseId]],
    *,
    cluster: ClusterName | None = None,
) -> Mapping[LeaseId, RunningAttempt]:
    """Return the attempts of these leases that are running, on ``cluster`` if one is given."""
    await tx.plan_for(len(leases))
    values: dict[str, object] = {
        "action_id": [action for action, _ in leases],
        "lease_id": [lease for _, lease in leases],
    }
    if cluster is None:
        rows = await tx.rows(_FIND, values)
    else:
        rows = await tx.rows(_FIND_OF_CLUSTER, {**values, "cluster": cluster})
    return {
        row.lease_id: RunningAttempt(
            key=ActionKey(
                RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run)),
                ActionName(row.name),
            ),
            id=AttemptId(row.action_id, row.attempt),
            lease=row.lease_id,
        )
        for row in rows
    }


async def list_still_running(
    tx: FleetTx, leases: Collection[tuple[OrgName, ActionId, LeaseId]]
) -> Collection[tuple[OrgName, LeaseId]]:
    """Return those of the leases, of any org, whose attempts are running."""
    values = {
        "org": [org for org, _, _ in leases],
        "action_id": [action for _, action, _ in leases],
        "lease_id": [lease for _, _, lease in leases],
    }
    rows = await tx.connection.execute(_STILL_RUNNING, values)
    return {(OrgName(row.org), LeaseId(row.lease_id)) for row in rows.all()}


async def is_started_by(tx: OrgTx, run: RunKey, own: RunKey) -> bool:
    """Return whether ``run`` was started by a task of ``own``, directly or through other runs."""
    rows = await tx.rows(
        _DESCENDS,
        {
            "project": run.project,
            "domain": run.domain,
            "run": run.name,
            "own_project": own.project,
            "own_domain": own.domain,
            "own_run": own.name,
        },
    )
    return bool(rows)
