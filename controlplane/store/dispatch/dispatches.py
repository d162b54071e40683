"""
Accepts, returns and lists leases of dispatches.

A lease is accepted once its agent has persisted it and the store has recorded that: only then
may the agent start the attempt. A lease that is never accepted is returned to its queue as it
was, because no agent can have started it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.inventory import LeaseRecord
from controlplane.core.reason_codes import LEASE_RETURNED
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch.cascades import above
from controlplane.store.phase_guards import unestimated
from controlplane.store.statements import given, statement
from shared.model.ids import (
    ActionId,
    AttemptId,
    ClusterName,
    LeaseId,
    OrgName,
)
from shared.model.phases import Phase

# A lease below an action that ended meanwhile gets a stop even before the cascade reaches it.
_ACCEPT = statement(f"""
{given(action_id="uuid", lease_id="uuid")}, locked AS MATERIALIZED (
    SELECT d.org, d.action_id, d.run_id FROM n
    JOIN dispatches d ON d.org = n.org AND d.action_id = n.action_id AND d.lease_id = n.lease_id
    WHERE {unestimated("d.cluster = :cluster")}
    ORDER BY d.action_id FOR UPDATE OF d
), judged AS MATERIALIZED (
    SELECT l.org, l.action_id, {above("l.org", "l.run_id", "l.action_id")} AS reason FROM locked l
)
UPDATE dispatches d
SET accepted_at = COALESCE(d.accepted_at, :now), missing_since = NULL,
    stop_reason = COALESCE(d.stop_reason, l.reason),
    stop_at = COALESCE(d.stop_at, CASE WHEN l.reason IS NOT NULL THEN :now END)
FROM judged l WHERE d.org = l.org AND d.action_id = l.action_id
RETURNING d.action_id, d.lease_id, d.stop_reason
""")

# In the global lock order of this table, so that two sweeps do not deadlock. The time that it
# took is added to the action's history, which would otherwise have a gap.
_UNACCEPTED = f"""
WITH lapsed AS (
    SELECT org, action_id, attempt, cluster, leased_at FROM dispatches
    WHERE {{scope}} AND lease_id IS NOT NULL AND accepted_at IS NULL
    ORDER BY org, action_id FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM dispatches d USING lapsed l
    WHERE d.org = l.org AND d.action_id = l.action_id AND d.stop_reason IS NOT NULL
    RETURNING d.org, d.action_id, l.attempt
), closed AS (
    UPDATE attempts t SET phase = {Phase.ABORTED.value}, ended_at = :now FROM dropped x
    WHERE t.org = x.org AND t.action_id = x.action_id AND t.number = x.attempt
), returned AS (
    UPDATE dispatches d
    SET lease_id = NULL, cluster = NULL, leased_at = NULL, missing_since = NULL
    FROM lapsed l
    WHERE d.org = l.org AND d.action_id = l.action_id AND d.stop_reason IS NULL
    RETURNING d.org, d.action_id, l.attempt, l.cluster, l.leased_at
), told AS (
    INSERT INTO action_events (org, action_id, attempt, version, at, phase, reason, message,
                               events)
    SELECT org, action_id, attempt, 0, :now, {Phase.QUEUED.value}, '{LEASE_RETURNED}', cluster,
           jsonb_build_array(jsonb_build_object(
               'at', leased_at, 'reason', '{LEASE_RETURNED}',
               'message', 'Cluster ' || cluster || ' did not accept the lease; it waits again.'))
    FROM returned ON CONFLICT DO NOTHING
)
SELECT org, count(*) AS returned
FROM (SELECT org FROM returned UNION ALL SELECT org FROM dropped) AS freed GROUP BY org
"""
_RETURN_OF_CLUSTER = statement(_UNACCEPTED.format(scope="org = :org AND cluster = :cluster"))
_RETURN_LATE = statement(_UNACCEPTED.format(scope="leased_at < :leased_at"))

_NOTE_MISSING = statement(f"""
{given(action_id="uuid")}
UPDATE dispatches d SET missing_since = (SELECT served FROM control_clock) FROM n
WHERE d.org = n.org AND d.action_id = n.action_id
  AND {unestimated("d.cluster = :cluster AND d.accepted_at IS NOT NULL AND d.missing_since IS NULL")}
""")

_STOPS = statement("""
SELECT action_id, attempt, lease_id, stop_reason FROM dispatches
WHERE org = :org AND cluster = :cluster AND stop_reason IS NOT NULL
""")

_LEASES = statement("""
SELECT action_id, attempt, lease_id, stop_reason
FROM dispatches WHERE org = :org AND cluster = :cluster AND lease_id IS NOT NULL
ORDER BY action_id FOR UPDATE
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The result of accepting leases that an agent has persisted."""

    confirmed: Collection[tuple[AttemptId, LeaseId]] = ()  # the agent may start these
    stops: Collection[LeaseRecord] = ()  # to be stopped, whether or not a stop was sent before
    not_leased: Collection[tuple[AttemptId, LeaseId]] = ()  # no longer leased to this cluster


async def accept(
    tx: OrgTx,
    cluster: ClusterName,
    leases: Collection[tuple[AttemptId, LeaseId]],
    now: datetime,
) -> Accepted:
    """Record that the agent has persisted these leases. Idempotent: a repeat is answered alike."""
    await tx.plan_for(len(leases))
    rows = await tx.rows(
        _ACCEPT,
        {
            "cluster": cluster,
            "action_id": [attempt.action for attempt, _ in leases],
            "lease_id": [lease for _, lease in leases],
            "now": now,
        },
    )
    reasons = {(row.action_id, row.lease_id): row.stop_reason for row in rows}
    leased = [
        LeaseRecord(attempt, lease, reasons[attempt.action, lease])
        for attempt, lease in leases
        if (attempt.action, lease) in reasons
    ]
    return Accepted(
        confirmed=[(each.attempt, each.lease) for each in leased if each.stop_reason is None],
        stops=[each for each in leased if each.stop_reason is not None],
        not_leased=[lease for lease in leases if (lease[0].action, lease[1]) not in reasons],
    )


async def return_unaccepted(tx: OrgTx, cluster: ClusterName, now: datetime) -> int:
    """
    Return the leases that the cluster has not accepted to their queues; return how many.

    A dispatch with a stop is not queued again, but its slot is freed.
    """
    rows = await tx.rows(_RETURN_OF_CLUSTER, {"cluster": cluster, "now": now})
    return sum(int(row.returned) for row in rows)


async def return_late(tx: FleetTx, leased_before: datetime, now: datetime) -> Mapping[OrgName, int]:
    """Return unaccepted leases older than ``leased_before`` to their queues; count them by org."""
    rows = await tx.connection.execute(_RETURN_LATE, {"leased_at": leased_before, "now": now})
    return {OrgName(row.org): row.returned for row in rows.all()}


async def note_missing(tx: OrgTx, cluster: ClusterName, actions: Collection[ActionId]) -> None:
    """Record that an agent does not know these leases; they expire if that stays so."""
    await tx.plan_for(len(actions))
    await tx.execute(_NOTE_MISSING, {"cluster": cluster, "action_id": sorted(actions)})


async def list_stops(tx: OrgTx, cluster: ClusterName) -> Sequence[LeaseRecord]:
    """List the leases of ``cluster`` whose attempts have a stop."""
    return [_parse_record(row) for row in await tx.rows(_STOPS, {"cluster": cluster})]


async def lock_leases(tx: OrgTx, cluster: ClusterName) -> Mapping[ActionId, LeaseRecord]:
    """List and lock all leases of ``cluster``; until commit none of them is leased elsewhere."""
    leased = [_parse_record(row) for row in await tx.rows(_LEASES, {"cluster": cluster})]
    return {lease.attempt.action: lease for lease in leased}


def _parse_record(row: Row[tuple[object, ...]]) -> LeaseRecord:
    return LeaseRecord(AttemptId(row.action_id, row.attempt), row.lease_id, row.stop_reason)
