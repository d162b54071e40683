"""Keeps the history of agents' sessions: the latest ones of each cluster, by epoch."""

from collections.abc import Sequence
from datetime import datetime

from controlplane.core.clusters import PastSession, SessionEnd
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_enum
from controlplane.store.statements import statement
from shared.model.ids import ClusterName

KEPT = 200
"""Epochs of a cluster of which the session is kept."""

# A session whose replica died was not closed: its last heartbeat is as late as it is known to live.
_OPENED = statement(f"""
WITH before AS (
    UPDATE agent_sessions SET ended_at = GREATEST(opened_at, CAST(:seen_at AS timestamptz)),
                              ended_because = '{SessionEnd.SUPERSEDED}'
    WHERE org = :org AND cluster = :cluster AND epoch < :epoch AND ended_at IS NULL
), old AS (
    DELETE FROM agent_sessions WHERE org = :org AND cluster = :cluster AND epoch <= :epoch - {KEPT}
)
INSERT INTO agent_sessions (org, cluster, epoch, agent_id, instance_id, software, serial, opened_at)
VALUES (:org, :cluster, :epoch, :agent_id, :instance_id, :software, :serial, :now)
ON CONFLICT DO NOTHING
""")

_ENDED = statement("""
UPDATE agent_sessions SET ended_at = GREATEST(opened_at, :now), ended_because = :because
WHERE org = :org AND cluster = :cluster AND epoch = :epoch AND ended_at IS NULL
""")

_LIST = statement("""
SELECT s.*, c.expires_at, COALESCE(c.revoked_at IS NOT NULL, false) AS revoked
FROM agent_sessions s
LEFT JOIN agent_certificates c ON c.org = s.org AND c.serial = s.serial AND s.serial <> ''
WHERE s.org = :org AND s.cluster = :cluster AND s.epoch < :before
ORDER BY s.org, s.cluster, s.epoch DESC LIMIT :most
""")

_DELETE = statement("DELETE FROM agent_sessions WHERE org = :org AND cluster = :cluster")


async def add_session(
    tx: OrgTx,
    cluster: ClusterName,
    session: PastSession,
    *,
    seen_at: datetime | None,
) -> None:
    """
    Add a session that was opened, and end those before it.

    ``seen_at``: the last heartbeat of the one before.
    """
    await tx.execute(
        _OPENED,
        {
            "cluster": cluster,
            "epoch": session.epoch,
            "agent_id": session.agent_id,
            "instance_id": session.instance_id,
            "software": session.software,
            "serial": session.serial,
            "seen_at": seen_at,
            "now": session.opened_at,
        },
    )


async def end_session(tx: OrgTx, cluster: ClusterName, epoch: int, now: datetime) -> None:
    """Record that the stream of a session has ended, unless a newer session was opened."""
    await tx.execute(
        _ENDED,
        {"cluster": cluster, "epoch": epoch, "because": SessionEnd.CLOSED.value, "now": now},
    )


async def list_sessions(
    tx: OrgTx, cluster: ClusterName, *, before: int, most: int
) -> Sequence[PastSession]:
    """List a cluster's sessions with epochs below ``before``, the latest first."""
    rows = await tx.rows(_LIST, {"cluster": cluster, "before": before, "most": most})
    return [
        PastSession(
            epoch=row.epoch,
            agent_id=row.agent_id,
            instance_id=row.instance_id,
            software=row.software,
            serial=row.serial,
            opened_at=row.opened_at,
            ended_at=row.ended_at,
            ended_because=None
            if row.ended_at is None
            else parse_enum(row.ended_because, SessionEnd.UNKNOWN),
            certificate_until=row.expires_at,
            certificate_revoked=row.revoked,
        )
        for row in rows
    ]


async def delete_sessions(tx: OrgTx, cluster: ClusterName) -> None:
    """Delete a cluster's history, when the cluster is deleted."""
    await tx.execute(_DELETE, {"cluster": cluster})
