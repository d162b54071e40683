"""
Work to be handed out, and who holds it: the hot table.

Claiming is one statement: any number of replicas may call it at once, each row goes to
one of them (``SKIP LOCKED``). A lease that is never accepted goes back.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.layout import output_prefix, raw_data_prefix
from controlplane.core.sessions import HeldLease
from controlplane.store.database import OrgTx
from controlplane.store.statements import statement
from shared.model.assignments import Assignment
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    ClusterName,
    Digest,
    DomainName,
    LeaseId,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.phases import Phase

_CLAIM = statement(f"""
WITH picked AS (
    SELECT org, action_id FROM dispatches
    WHERE org = :org AND lease_id IS NULL AND available_at <= :now
    ORDER BY org, priority DESC, available_at, action_id
    LIMIT :most FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE dispatches d
    SET lease_id = gen_random_uuid(), cluster = :cluster, leased_at = :now, accepted_at = NULL
    FROM picked p WHERE d.org = p.org AND d.action_id = p.action_id
    RETURNING d.action_id, d.run_id, d.attempt, d.lease_id
), begun AS (
    INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, leased_at)
    SELECT :org, action_id, attempt, lease_id, :cluster, {Phase.QUEUED.value}, :now FROM leased
    ON CONFLICT (org, action_id, number)
    DO UPDATE SET lease_id = EXCLUDED.lease_id, cluster = EXCLUDED.cluster,
                  leased_at = EXCLUDED.leased_at
)
SELECT l.action_id, l.attempt, l.lease_id, a.name, a.parent, a.task_type, a.spec, a.input_uri,
       r.project, r.domain, r.run, r.run_spec, r.run_base, r.raw_data_base, r.started_at
FROM leased l
JOIN actions a ON a.org = :org AND a.id = l.action_id
JOIN runs r ON r.org = :org AND r.run_id = l.run_id
""")

_HELD = statement("""
SELECT d.action_id, d.attempt, d.lease_id, a.name, a.parent, a.task_type, a.spec, a.input_uri,
       r.project, r.domain, r.run, r.run_spec, r.run_base, r.raw_data_base, r.started_at
FROM dispatches d
JOIN actions a ON a.org = :org AND a.id = d.action_id
JOIN runs r ON r.org = :org AND r.run_id = d.run_id
WHERE d.org = :org AND d.cluster = :cluster AND d.lease_id IS NOT NULL AND d.accepted_at IS NULL
  AND d.stop_reason IS NULL
""")

_ACCEPT = statement("""
UPDATE dispatches d SET accepted_at = :now
FROM unnest(CAST(:action_ids AS uuid[]), CAST(:lease_ids AS uuid[])) AS n (action_id, lease_id)
WHERE d.org = :org AND d.cluster = :cluster AND d.action_id = n.action_id
  AND d.lease_id = n.lease_id AND d.accepted_at IS NULL
""")

_STOPS = statement("""
SELECT action_id, attempt, lease_id, stop_reason FROM dispatches
WHERE org = :org AND cluster = :cluster AND lease_id IS NOT NULL AND stop_reason IS NOT NULL
""")

_LEASES = statement("""
SELECT action_id, attempt, lease_id, stop_reason FROM dispatches
WHERE org = :org AND cluster = :cluster AND lease_id IS NOT NULL
""")

_NEXT_AVAILABLE = statement("""
SELECT min(available_at) AS available_at FROM dispatches WHERE org = :org AND lease_id IS NULL
""")


async def claim(
    tx: OrgTx, cluster: ClusterName, *, most: int, now: datetime
) -> Sequence[Assignment]:
    """Lease up to ``most`` waiting attempts to ``cluster``; also opens their attempts."""
    rows = await tx.rows(_CLAIM, {"cluster": cluster, "most": most, "now": now})
    return [_assignment(tx, row) for row in rows]


async def list_unaccepted(tx: OrgTx, cluster: ClusterName) -> Sequence[Assignment]:
    """List what was leased to ``cluster`` but never accepted: said into a broken stream."""
    rows = await tx.rows(_HELD, {"cluster": cluster})
    return [_assignment(tx, row) for row in rows]


async def accept(
    tx: OrgTx,
    cluster: ClusterName,
    leases: Collection[tuple[AttemptId, LeaseId]],
    now: datetime,
) -> None:
    """Note that the agent has written these down."""
    await tx.execute(
        _ACCEPT,
        {
            "cluster": cluster,
            "action_ids": [attempt.action for attempt, _ in leases],
            "lease_ids": [lease for _, lease in leases],
            "now": now,
        },
    )


async def list_stops(tx: OrgTx, cluster: ClusterName) -> Sequence[HeldLease]:
    """List the leases of ``cluster`` whose attempts are wanted stopped."""
    return [_held(row) for row in await tx.rows(_STOPS, {"cluster": cluster})]


async def list_leases(tx: OrgTx, cluster: ClusterName) -> Mapping[ActionId, HeldLease]:
    """List everything that ``cluster`` holds."""
    held = [_held(row) for row in await tx.rows(_LEASES, {"cluster": cluster})]
    return {lease.attempt.action: lease for lease in held}


async def find_next_available(tx: OrgTx) -> datetime | None:
    """Say when the earliest waiting attempt may be leased; None when nothing waits."""
    found: datetime | None = (await tx.execute(_NEXT_AVAILABLE)).one().available_at
    return found


def _held(row: Row[tuple[object, ...]]) -> HeldLease:
    return HeldLease(AttemptId(row.action_id, row.attempt), row.lease_id, row.stop_reason)


def _assignment(tx: OrgTx, row: Row[tuple[object, ...]]) -> Assignment:
    run = RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run))
    name = ActionName(row.name)
    before = row.attempt - 1
    return Assignment(
        org=tx.org,
        key=ActionKey(run, name),
        attempt=AttemptId(row.action_id, row.attempt),
        lease=LeaseId(row.lease_id),
        parent=None if row.parent is None else ActionName(row.parent),
        task_type=row.task_type,
        task_spec=Digest(row.spec),
        run_spec=Digest(row.run_spec),
        input_uri=row.input_uri,
        run_base=row.run_base,
        output_prefix=output_prefix(row.run_base, name, row.attempt),
        previous_output_prefix=output_prefix(row.run_base, name, before) if before else "",
        raw_data_prefix=raw_data_prefix(
            row.run_base, name, row.attempt, raw_data_base=row.raw_data_base
        ),
        run_started_at=row.started_at,
    )
