"""
Stores clusters, their agent sessions and heartbeats.

Each accepted agent session takes the next epoch (a fencing token); a transaction of an older
session finds here that it is superseded, before it writes anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.core.clusters import AgentInfo, AgentLoad, ClusterSpec, PastSession
from controlplane.core.deleted_orgs import ABORT_REASON
from controlplane.store.agents.sessions import add_session, end_session
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import given, not_deleted, statement
from shared.model.ids import ClusterName, OrgName


@dataclass(frozen=True, slots=True)
class ClusterRef:
    org: OrgName
    name: ClusterName


_BY_TOKEN = text("SELECT org, cluster FROM clusters WHERE token_digest = :digest")

_SAVE_ORG = statement(
    "INSERT INTO orgs (org, created_at) VALUES (:org, :now) ON CONFLICT DO NOTHING"
)

_ORGS = text("SELECT org FROM orgs ORDER BY org LIMIT 1000")

_SAVE = statement("""
INSERT INTO clusters (org, cluster, token_digest, epoch, created_at)
SELECT :org, :cluster, :digest, o.deleted_cluster_epoch, :now FROM orgs o WHERE o.org = :org FOR SHARE
ON CONFLICT (org, cluster) DO UPDATE SET token_digest = EXCLUDED.token_digest
""")

_OPEN_SESSION = statement("""
UPDATE clusters c
SET epoch = c.epoch + 1, agent_id = :agent_id, instance_id = :instance_id, software = :software,
    protocol = :protocol, capabilities = :capabilities, counted_at = NULL,
    secrets_key = :secrets_key,
    connected = true, connected_at = :now, seen_at = :now,
    seen_served = (SELECT served FROM control_clock)
FROM (SELECT * FROM clusters WHERE org = :org AND cluster = :cluster FOR NO KEY UPDATE) b
WHERE c.org = b.org AND c.cluster = b.cluster
RETURNING c.epoch, b.seen_at AS seen_before
""").bindparams(bindparam("capabilities", type_=JSONB))

# FOR SHARE: transactions of one session run concurrently, but none concurrently with the opening
# of a new session.
_SPEC = statement(f"""
SELECT c.cordoned, c.draining_since, c.wanted_version, c.pool, c.renew_serial,
       {not_deleted("c.org")} AS org_stays, c.restored_at IS NOT NULL AS restored
FROM clusters c
WHERE c.org = :org AND c.cluster = :cluster AND c.epoch = :epoch FOR SHARE OF c
""")

_SEEN = statement(f"""
UPDATE clusters
SET seen_at = :now, seen_served = (SELECT served FROM control_clock), connected = true,
    held = :held, running = :running, slots = :slots, counted_at = :counted_at
WHERE org = :org AND cluster = :cluster AND epoch = :epoch
RETURNING cordoned, draining_since, wanted_version, pool, renew_serial,
          {not_deleted("clusters.org")} AS org_stays, restored_at IS NOT NULL AS restored
""")

# Skips locked rows, so that one busy cluster does not delay the heartbeats of the others.
_ALL_SEEN = statement(f"""
{given(cluster="text", epoch="bigint", held="int", running="int", slots="int", counted_at_="timestamptz")},
free AS MATERIALIZED (
    SELECT n.* FROM n JOIN clusters c
      ON c.org = n.org AND c.cluster = n.cluster AND c.epoch = n.epoch
    FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE clusters c
SET seen_at = :now, seen_served = (SELECT served FROM control_clock), connected = true,
    held = f.held, running = f.running, slots = f.slots, counted_at = f.counted_at
FROM free f WHERE c.org = f.org AND c.cluster = f.cluster
RETURNING c.cluster, c.epoch, c.cordoned, c.draining_since, c.wanted_version, c.pool,
          c.renew_serial, {not_deleted("c.org")} AS org_stays,
          c.restored_at IS NOT NULL AS restored
""")

_CREATE = statement("""
INSERT INTO clusters (org, cluster, pool, token_digest, epoch, created_at)
SELECT :org, :cluster, :pool, :digest, o.deleted_cluster_epoch, :now FROM orgs o WHERE o.org = :org FOR SHARE
ON CONFLICT DO NOTHING RETURNING cluster
""")

# A later cluster of the same name begins above the epoch of any that was deleted, so that a session
# of that one, on a replica that was cut off meanwhile, stays superseded.
_KEEP_EPOCH = statement("""
UPDATE orgs o SET deleted_cluster_epoch = GREATEST(o.deleted_cluster_epoch, c.epoch)
FROM clusters c WHERE o.org = :org AND c.org = o.org AND c.cluster = :cluster
""")
_DELETE = statement("DELETE FROM clusters WHERE org = :org AND cluster = :cluster")

_COUNT = statement("SELECT count(*) AS number FROM clusters WHERE org = :org")

_LOCK = statement("""
SELECT cluster FROM clusters WHERE org = :org AND cluster = :cluster FOR UPDATE
""")

_EXISTS = statement("SELECT 1 FROM clusters WHERE org = :org AND cluster = :cluster")

# The epoch fences the session: it can commit nothing from now on.
_END_IDENTITY = statement("""
UPDATE clusters
SET epoch = epoch + 1, connected = false, token_digest = :digest, cloned_at = NULL, cloned = '',
    renew_serial = ''
WHERE org = :org AND cluster = :cluster
""")

# The same for all clusters of a deleted org, without replacing what agents authenticate by: if the
# org is restored, they come back.
_END_SESSIONS = statement("""
UPDATE clusters SET epoch = epoch + 1, connected = false WHERE org = :org AND connected
RETURNING cluster
""")

_NOTE_CLONE = statement("""
UPDATE clusters c
SET cloned_at = :now, cloned = :what, renew_serial = :renew, wanted_version = c.wanted_version + 1
FROM clusters b
WHERE c.org = :org AND c.cluster = :cluster AND b.org = c.org AND b.cluster = c.cluster
RETURNING b.cloned_at
""")

_CLEAR_RENEWAL = statement("""
UPDATE clusters SET renew_serial = '', wanted_version = wanted_version + 1
WHERE org = :org AND cluster = :cluster AND renew_serial <> ''
""")

_CLOSED = statement("""
UPDATE clusters SET connected = false
WHERE org = :org AND cluster = :cluster AND epoch = :epoch
""")


async def find_by_token(tx: FleetTx, digest: bytes) -> ClusterRef | None:
    """Return the cluster whose agent's token has this SHA-256 digest, if any."""
    row = (await tx.connection.execute(_BY_TOKEN, {"digest": digest})).one_or_none()
    return None if row is None else ClusterRef(OrgName(row.org), ClusterName(row.cluster))


async def save_org(tx: OrgTx, now: datetime) -> None:
    """Create the transaction's org unless it exists."""
    await tx.execute(_SAVE_ORG, {"now": now})


async def list_orgs(tx: FleetTx) -> Sequence[OrgName]:
    """List the orgs, by name; the first thousand."""
    return [OrgName(row.org) for row in (await tx.connection.execute(_ORGS)).all()]


async def save_cluster(tx: OrgTx, cluster: ClusterName, digest: bytes, now: datetime) -> None:
    """Create the cluster, or replace its token."""
    await tx.execute(_SAVE, {"cluster": cluster, "digest": digest, "now": now})


async def create_cluster(
    tx: OrgTx, cluster: ClusterName, pool: str, digest: bytes, now: datetime
) -> bool:
    """Create a cluster; False if it exists."""
    values = {"cluster": cluster, "pool": pool, "digest": digest, "now": now}
    return bool(await tx.rows(_CREATE, values))


async def count_clusters(tx: OrgTx) -> int:
    number: int = (await tx.rows(_COUNT))[0].number
    return number


async def lock_cluster(tx: OrgTx, cluster: ClusterName) -> bool:
    """Lock a cluster until the end of the transaction; False if it does not exist."""
    return bool(await tx.rows(_LOCK, {"cluster": cluster}))


async def exists(tx: OrgTx, cluster: ClusterName) -> bool:
    return bool(await tx.rows(_EXISTS, {"cluster": cluster}))


async def delete_cluster(tx: OrgTx, cluster: ClusterName) -> None:
    """Delete a cluster that has no leases and no enrolments."""
    await tx.execute(_KEEP_EPOCH, {"cluster": cluster})
    await tx.execute(_DELETE, {"cluster": cluster})


async def end_identity(tx: OrgTx, cluster: ClusterName, digest: bytes) -> None:
    """End a cluster's session, and replace the digest of its shared token by one of no token."""
    await tx.execute(_END_IDENTITY, {"cluster": cluster, "digest": digest})


async def end_sessions(tx: OrgTx) -> Sequence[ClusterName]:
    """End the sessions of all clusters of the org that have one; return their names."""
    return [ClusterName(row.cluster) for row in await tx.rows(_END_SESSIONS)]


async def note_clone(
    tx: OrgTx, cluster: ClusterName, what: str, renew_serial: str, now: datetime
) -> datetime | None:
    """
    Note that two agents have the cluster's identity; return when that was last noted.

    The agent with the session has to renew the certificate ``renew_serial``, unless it is "".
    """
    values = {"cluster": cluster, "what": what, "renew": renew_serial, "now": now}
    before: datetime | None = (await tx.rows(_NOTE_CLONE, values))[0].cloned_at
    return before


async def clear_renewal(tx: OrgTx, cluster: ClusterName) -> None:
    """Note that the cluster's agent has renewed its certificate."""
    await tx.execute(_CLEAR_RENEWAL, {"cluster": cluster})


async def open_agent_session(
    tx: OrgTx,
    cluster: ClusterName,
    agent: AgentInfo,
    now: datetime,
    *,
    serial: str = "",
) -> int:
    """
    Take the next epoch; from now on every older session of the cluster is superseded.

    ``serial``: of the agent's certificate.
    """
    rows = await tx.rows(
        _OPEN_SESSION,
        {
            "cluster": cluster,
            "agent_id": agent.agent_id,
            "instance_id": agent.instance_id,
            "software": agent.software,
            "protocol": agent.protocol,
            "capabilities": list(agent.capabilities),
            "secrets_key": agent.secrets_key,
            "now": now,
        },
    )
    epoch: int = rows[0].epoch
    session = PastSession(
        epoch=epoch,
        agent_id=agent.agent_id,
        instance_id=agent.instance_id,
        software=agent.software,
        serial=serial,
        opened_at=now,
    )
    await add_session(tx, cluster, session, seen_at=rows[0].seen_before)
    return epoch


async def find_spec(tx: OrgTx, cluster: ClusterName, epoch: int) -> ClusterSpec | None:
    """
    Return the desired state of the session's cluster, None if the session is superseded.

    The latest session stays the latest until this transaction ends.
    """
    rows = await tx.rows(_SPEC, {"cluster": cluster, "epoch": epoch})
    return _parse_spec(rows[0]) if rows else None


async def record_heartbeat(
    tx: OrgTx, cluster: ClusterName, epoch: int, load: AgentLoad, now: datetime
) -> ClusterSpec | None:
    """Record a heartbeat; return the cluster's spec, None if the session is superseded."""
    rows = await tx.rows(
        _SEEN,
        {
            "cluster": cluster,
            "epoch": epoch,
            "held": load.held,
            "running": load.running,
            "slots": load.slots,
            "counted_at": load.counted_at,
            "now": now,
        },
    )
    return _parse_spec(rows[0]) if rows else None


async def record_heartbeats(
    tx: OrgTx, sessions: Sequence[tuple[ClusterName, int, AgentLoad]], now: datetime
) -> Mapping[tuple[ClusterName, int], ClusterSpec]:
    """Record heartbeats; a (cluster, epoch) not returned is superseded or its row is locked."""
    rows = await tx.rows(
        _ALL_SEEN,
        {
            "cluster": [cluster for cluster, _, _ in sessions],
            "epoch": [epoch for _, epoch, _ in sessions],
            "held": [load.held for _, _, load in sessions],
            "running": [load.running for _, _, load in sessions],
            "slots": [load.slots for _, _, load in sessions],
            "counted_at_": [load.counted_at for _, _, load in sessions],
            "now": now,
        },
    )
    return {(ClusterName(row.cluster), row.epoch): _parse_spec(row) for row in rows}


async def close_agent_session(tx: OrgTx, cluster: ClusterName, epoch: int, now: datetime) -> None:
    """Record that the session has ended, unless a newer one was opened."""
    await tx.execute(_CLOSED, {"cluster": cluster, "epoch": epoch})
    await end_session(tx, cluster, epoch, now)


def _parse_spec(row: Row[tuple[object, ...]]) -> ClusterSpec:
    return ClusterSpec(
        version=row.wanted_version,
        cordoned=row.cordoned or not row.org_stays,
        draining=row.draining_since is not None,
        pool=row.pool,
        renew_serial=row.renew_serial,
        end_attempts="" if row.org_stays else ABORT_REASON,
        restored=row.restored,
    )
