"""
Cordons, drains and moves clusters, and reads their state for operators.

Each change of the desired state raises ``spec_version`` and is notified to the live session on
any replica. A session's transaction locks its cluster's row, so once a change is committed
nothing is leased by the previous spec.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, TextClause

from controlplane.core.clusters import (
    AgentInfo,
    AgentLoad,
    ClusterStatus,
    LeasedAttempt,
    PoolStatus,
)
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import notify_cluster
from controlplane.store.rows import parse_enum, parse_key
from controlplane.store.statements import statement
from shared.model.ids import ClusterName
from shared.model.phases import Phase

MOST = 1_000

_LEASED_BY = (
    "FROM dispatches d WHERE d.org = c.org AND d.cluster = c.cluster AND d.lease_id IS NOT NULL"
)

_STATUSES = f"""
SELECT c.*, (SELECT count(*) {_LEASED_BY}) AS leased,
       (SELECT count(*) {_LEASED_BY} AND d.accepted_at IS NULL) AS unaccepted
FROM clusters c
WHERE c.org = :org AND c.cluster {{which}}
ORDER BY c.org, c.cluster LIMIT {{most}}
"""
_STATUS = statement(_STATUSES.format(which="= :cluster", most=1))
_STATUS_PAGE = statement(_STATUSES.format(which="> :after", most=":most"))
_NAMES = statement(
    "SELECT cluster FROM clusters WHERE org = :org ORDER BY org, cluster LIMIT :most"
)
_LOCK = statement(
    "SELECT 1 FROM clusters WHERE org = :org AND cluster = :cluster FOR NO KEY UPDATE"
)
_POOLS = statement("""
WITH pools AS (
    SELECT c.pool FROM clusters c WHERE c.org = :org
  UNION
    SELECT q.pool FROM queues q WHERE q.org = :org
  UNION
    SELECT ''
)
SELECT p.pool,
    (SELECT count(*) FROM clusters c WHERE c.org = :org AND c.pool = p.pool) AS clusters,
    (SELECT count(*) FROM clusters c
     WHERE c.org = :org AND c.pool = p.pool AND c.connected AND NOT c.cordoned
       AND c.draining_since IS NULL) AS ready,
    (SELECT count(*) FROM queues q WHERE q.org = :org AND q.pool = p.pool) AS queues
FROM pools p WHERE p.pool > :after OR :first ORDER BY p.pool LIMIT :most
""")

_SET_SPEC = """
UPDATE clusters SET {what}, wanted_version = wanted_version + 1
WHERE org = :org AND cluster = :cluster AND {unless}
"""
_CORDON = statement(_SET_SPEC.format(what="cordoned = true", unless="NOT cordoned"))
_UNCORDON = statement(
    _SET_SPEC.format(
        what="cordoned = false, draining_since = NULL",
        unless="(cordoned OR draining_since IS NOT NULL)",
    )
)
_DRAIN = statement(_SET_SPEC.format(what="draining_since = :now", unless="draining_since IS NULL"))
_MOVE = statement(_SET_SPEC.format(what="pool = :pool", unless="pool <> :pool"))

# Unaccepted leases get no stop: they are returned to their queues anyway.
_STOP_REST = statement("""
WITH rest AS MATERIALIZED (
    SELECT d.org, d.action_id FROM dispatches d
    WHERE d.org = :org AND d.cluster = :cluster AND d.lease_id IS NOT NULL
      AND d.accepted_at IS NOT NULL AND d.stop_reason IS NULL
    ORDER BY d.action_id FOR UPDATE
)
UPDATE dispatches d SET stop_reason = :reason, stop_at = :now
FROM rest r WHERE d.org = r.org AND d.action_id = r.action_id
""")

_LEASED = """
SELECT d.action_id, r.project, r.domain, r.run, a.name, d.attempt, t.phase, d.leased_at,
       d.accepted_at, d.stop_reason
FROM {which} d
JOIN actions a ON a.org = d.org AND a.id = d.action_id
JOIN runs r ON r.org = d.org AND r.run_id = d.run_id
JOIN attempts t ON t.org = d.org AND t.action_id = d.action_id AND t.number = d.attempt
"""
_OF_CLUSTER = "d.org = :org AND d.cluster = :cluster AND d.lease_id IS NOT NULL"
_REMAINING = statement(f"{_LEASED.format(which='dispatches')} WHERE {_OF_CLUSTER} LIMIT {MOST}")
# Materialized: in the order of actions, Postgres would read the leases of all clusters, and what waits.
_LEASED_PAGE = statement(f"""
WITH leased AS MATERIALIZED (SELECT d.* FROM dispatches d WHERE {_OF_CLUSTER}),
page AS MATERIALIZED (
    SELECT * FROM leased l WHERE CAST(:after AS uuid) IS NULL OR l.action_id > :after
    ORDER BY l.action_id LIMIT :most
)
{_LEASED.format(which="page")} ORDER BY d.action_id
""")


async def list_clusters(tx: OrgTx, *, after: str = "", most: int) -> Sequence[ClusterStatus]:
    """List clusters by name."""
    rows = await tx.rows(_STATUS_PAGE, {"after": after, "most": most})
    return [_parse(row) for row in rows]


async def list_names(tx: OrgTx, *, most: int) -> Sequence[str]:
    """List the names of clusters; the first by the alphabet."""
    return [row.cluster for row in await tx.rows(_NAMES, {"most": most})]


async def list_pools(tx: OrgTx, *, after: str | None, most: int) -> Sequence[PoolStatus]:
    """List the pools that clusters or queues name, by name; the default pool "" comes first."""
    values = {"after": after or "", "first": after is None, "most": most}
    return [
        PoolStatus(name=row.pool, clusters=row.clusters, ready=row.ready, queues=row.queues)
        for row in await tx.rows(_POOLS, values)
    ]


async def lock_cluster(tx: OrgTx, cluster: ClusterName) -> None:
    """Lock a cluster until commit, so that its version does not change meanwhile."""
    await tx.rows(_LOCK, {"cluster": cluster})


async def find_cluster(tx: OrgTx, cluster: ClusterName) -> ClusterStatus | None:
    rows = await tx.rows(_STATUS, {"cluster": cluster})
    return _parse(rows[0]) if rows else None


async def cordon(tx: OrgTx, cluster: ClusterName) -> None:
    """Cordon a cluster: it is given no more work and keeps its leases."""
    await _set_spec(tx, _CORDON, cluster)


async def uncordon(tx: OrgTx, cluster: ClusterName) -> None:
    """End a cordon or a drain: the cluster is given work again."""
    await _set_spec(tx, _UNCORDON, cluster)


async def drain(tx: OrgTx, cluster: ClusterName, now: datetime) -> None:
    """Drain a cluster: it is given no more work and is to be emptied, since ``now``."""
    await _set_spec(tx, _DRAIN, cluster, now=now)


async def move(tx: OrgTx, cluster: ClusterName, pool: str) -> None:
    """Assign a cluster to another pool."""
    await _set_spec(tx, _MOVE, cluster, pool=pool)


async def stop_rest(tx: OrgTx, cluster: ClusterName, *, reason: str, now: datetime) -> int:
    """Stop all its accepted leases, to be requeued elsewhere; return how many were marked."""
    stopped = await tx.execute(_STOP_REST, {"cluster": cluster, "reason": reason, "now": now})
    await notify_cluster(tx, cluster)
    return stopped.rowcount


async def list_remaining(tx: OrgTx, cluster: ClusterName) -> Sequence[LeasedAttempt]:
    """List a cluster's leases by action; the first thousand."""
    rows = await tx.rows(_REMAINING, {"cluster": cluster})
    return sorted((_parse_leased(row) for row in rows), key=lambda held: held.action)


async def list_leased(
    tx: OrgTx, cluster: ClusterName, *, after: UUID | None, most: int
) -> Sequence[tuple[UUID, LeasedAttempt]]:
    """List a page of a cluster's leases by the id of their action; sorts all leases of the cluster."""
    rows = await tx.rows(_LEASED_PAGE, {"cluster": cluster, "after": after, "most": most})
    return [(row.action_id, _parse_leased(row)) for row in rows]


async def _set_spec(tx: OrgTx, change: TextClause, cluster: ClusterName, **values: object) -> None:
    await tx.execute(change, {"cluster": cluster, **values})
    await notify_cluster(tx, cluster)


def _parse(row: Row[tuple[object, ...]]) -> ClusterStatus:
    return ClusterStatus(
        name=ClusterName(row.cluster),
        pool=row.pool,
        cordoned=row.cordoned,
        draining_since=row.draining_since,
        spec_version=row.wanted_version,
        connected=row.connected,
        connected_at=row.connected_at,
        seen_at=row.seen_at,
        epoch=row.epoch,
        agent=AgentInfo(
            agent_id=row.agent_id,
            instance_id=row.instance_id,
            software=row.software,
            protocol=row.protocol,
            capabilities=row.capabilities,
        ),
        load=AgentLoad(
            held=row.held, running=row.running, slots=row.slots, counted_at=row.counted_at
        ),
        leased=row.leased,
        unaccepted=row.unaccepted,
        cloned_at=row.cloned_at,
        cloned=row.cloned,
    )


def _parse_leased(row: Row[tuple[object, ...]]) -> LeasedAttempt:
    return LeasedAttempt(
        action=parse_key(row),
        number=row.attempt,
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        leased_at=row.leased_at,
        accepted_at=row.accepted_at,
        stop_reason=row.stop_reason,
    )
