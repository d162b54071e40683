"""Stores enrolments: join tokens by their digest, and the key pairs that used them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.agent_identity import Enrolment
from controlplane.store.agent_tables import agent_enrolments as table
from controlplane.store.database import FleetTx, OrgTx
from shared.model.ids import ClusterName, OrgName


async def create_enrolment(tx: OrgTx, enrolment: Enrolment, digest: bytes) -> None:
    await tx.connection.execute(
        insert(table).values(
            org=tx.org,
            enrolment_id=enrolment.id,
            cluster=enrolment.cluster,
            digest=digest,
            auto_accept=enrolment.auto_accept,
            created_by=enrolment.created_by,
            created_at=enrolment.created_at,
            expires_at=enrolment.expires_at,
        )
    )


async def find_org_of_token(tx: FleetTx, digest: bytes) -> OrgName | None:
    """Return the org of the enrolment whose join token has this digest."""
    query = select(table.c.org).where(table.c.digest == digest)
    found = (await tx.connection.execute(query)).scalar_one_or_none()
    return None if found is None else OrgName(str(found))


async def find_cluster_of_token(tx: OrgTx, digest: bytes) -> ClusterName | None:
    query = select(table.c.cluster).where(table.c.org == tx.org, table.c.digest == digest)
    found = (await tx.connection.execute(query)).scalar_one_or_none()
    return None if found is None else ClusterName(str(found))


async def lock_by_token(tx: OrgTx, digest: bytes) -> Enrolment | None:
    """Lock and return an enrolment in any state."""
    query = select(table).where(table.c.org == tx.org, table.c.digest == digest).with_for_update()
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse(row)


async def find_enrolment(tx: OrgTx, enrolment: UUID) -> Enrolment | None:
    query = select(table).where(table.c.org == tx.org, table.c.enrolment_id == enrolment)
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse(row)


async def has_accepted(tx: FleetTx, org: OrgName, cluster: ClusterName) -> bool:
    """Return whether a cluster has an accepted enrolment that has not ended."""
    query = (
        select(table.c.enrolment_id)
        .where(table.c.org == org, table.c.cluster == cluster)
        .where(table.c.accepted_at.is_not(None), table.c.ended_at.is_(None))
        .limit(1)
    )
    return (await tx.connection.execute(query)).first() is not None


async def delete_enrolments(tx: OrgTx, cluster: ClusterName) -> None:
    """Delete a cluster's enrolments with their certificates, whatever their state."""
    await tx.connection.execute(
        delete(table).where(table.c.org == tx.org, table.c.cluster == cluster)
    )


async def list_enrolments(tx: OrgTx, cluster: ClusterName | None = None) -> Sequence[Enrolment]:
    """List enrolments that have not ended, of a cluster or of all, oldest first."""
    query = select(table).where(table.c.org == tx.org, table.c.ended_at.is_(None))
    if cluster is not None:
        query = query.where(table.c.cluster == cluster)
    query = query.order_by(table.c.created_at, table.c.enrolment_id)
    return [_parse(row) for row in await tx.connection.execute(query)]


async def use_token(
    tx: OrgTx,
    enrolment: UUID,
    public_key: bytes,
    *,
    peer: str,
    software: str,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Bind an enrolment to the key pair that used its token; it then waits until ``expires_at``."""
    await _update(
        tx,
        enrolment,
        public_key=public_key,
        used_at=now,
        peer=peer,
        software=software,
        expires_at=expires_at,
    )


async def accept(
    tx: OrgTx, enrolment: UUID, *, by: str, expires_at: datetime, now: datetime
) -> None:
    """Accept an enrolment; its first certificate has to be fetched until ``expires_at``."""
    await _update(tx, enrolment, accepted_at=now, accepted_by=by, expires_at=expires_at)


async def end_enrolments(
    tx: OrgTx, cluster: ClusterName, because: str, now: datetime, *, but: UUID | None = None
) -> Sequence[Enrolment]:
    """End a cluster's enrolments, open, waiting or accepted, but for one; return them."""
    query = (
        update(table)
        .where(table.c.org == tx.org, table.c.cluster == cluster, table.c.ended_at.is_(None))
        .values(ended_at=now, ended_because=because)
        .returning(table)
    )
    if but is not None:
        query = query.where(table.c.enrolment_id != but)
    return [_parse(row) for row in await tx.connection.execute(query)]


async def count_enrolments(tx: OrgTx) -> int:
    query = select(func.count()).where(table.c.org == tx.org, table.c.ended_at.is_(None))
    return int((await tx.connection.execute(query)).scalar_one())


async def delete_ended(tx: OrgTx, before: datetime) -> None:
    """Delete enrolments that ended before, or whose token expired before; certificates go too."""
    await tx.connection.execute(
        delete(table).where(
            table.c.org == tx.org,
            (table.c.ended_at < before)
            | (table.c.accepted_at.is_(None) & (table.c.expires_at < before)),
        )
    )


async def _update(tx: OrgTx, enrolment: UUID, **values: object) -> None:
    await tx.connection.execute(
        update(table)
        .where(table.c.org == tx.org, table.c.enrolment_id == enrolment)
        .values(**values)
    )


def _parse(row: Any) -> Enrolment:
    return Enrolment(
        id=row.enrolment_id,
        cluster=ClusterName(row.cluster),
        auto_accept=row.auto_accept,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        public_key=row.public_key,
        used_at=row.used_at,
        peer=row.peer,
        software=row.software,
        accepted_at=row.accepted_at,
        accepted_by=row.accepted_by,
        ended_at=row.ended_at,
        ended_because=row.ended_because,
    )
