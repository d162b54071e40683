"""Stores the certificates of agents: issued, confirmed by a session, retired, revoked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.agent_identity import AgentCertificate
from controlplane.store.agent_tables import agent_certificates as table
from controlplane.store.database import FleetTx, OrgTx
from shared.model.ids import ClusterName, OrgName


async def insert_certificate(tx: OrgTx, certificate: AgentCertificate) -> None:
    await tx.connection.execute(
        insert(table).values(
            org=tx.org,
            serial=certificate.serial,
            fingerprint=certificate.fingerprint,
            enrolment_id=certificate.enrolment,
            cluster=certificate.cluster,
            authority_id=certificate.authority,
            public_key=certificate.public_key,
            certificate=certificate.pem,
            created_at=certificate.created_at,
            expires_at=certificate.expires_at,
        )
    )


async def find_by_fingerprint(
    tx: FleetTx, fingerprint: bytes
) -> tuple[OrgName, AgentCertificate] | None:
    """Return a certificate and its org by the certificate's SHA-256."""
    query = select(table).where(table.c.fingerprint == fingerprint)
    row = (await tx.connection.execute(query)).first()
    return None if row is None else (OrgName(row.org), _parse(row))


async def lock_certificate(tx: OrgTx, serial: str) -> AgentCertificate | None:
    query = select(table).where(table.c.org == tx.org, table.c.serial == serial).with_for_update()
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse(row)


async def list_certificates(tx: OrgTx, enrolment: UUID) -> Sequence[AgentCertificate]:
    """List an enrolment's certificates, in the order in which they were issued."""
    query = (
        select(table)
        .where(table.c.org == tx.org, table.c.enrolment_id == enrolment)
        .order_by(table.c.created_at, table.c.serial)
    )
    return [_parse(row) for row in await tx.connection.execute(query)]


async def delete_unconfirmed(tx: OrgTx, enrolment: UUID, *, but: str = "") -> None:
    """Delete certificates that opened no session; only the latest issued one may be used."""
    await tx.connection.execute(
        delete(table).where(
            table.c.org == tx.org,
            table.c.enrolment_id == enrolment,
            table.c.confirmed_at.is_(None),
            table.c.serial != but,
        )
    )


async def confirm(
    tx: OrgTx,
    certificate: AgentCertificate,
    instance_id: str,
    past_instances: Sequence[str],
    now: datetime,
) -> None:
    """Note that a process opened a session with a certificate, which retires all before it."""
    of_enrolment = (table.c.org == tx.org, table.c.enrolment_id == certificate.enrolment)
    await tx.connection.execute(
        update(table)
        .where(*of_enrolment, table.c.serial == certificate.serial)
        .values(
            confirmed_at=certificate.confirmed_at or now,
            instance_id=instance_id,
            past_instances=list(past_instances),
        )
    )
    if certificate.confirmed_at is None:
        await tx.connection.execute(
            update(table)
            .where(
                *of_enrolment,
                table.c.serial != certificate.serial,
                table.c.confirmed_at.is_not(None),
                table.c.retired_at.is_(None),
            )
            .values(retired_at=now)
        )


async def find_current_instance(tx: OrgTx, enrolment: UUID) -> str:
    """Return the process that has the latest session of an enrolment; "" if there was none."""
    query = select(table.c.instance_id).where(
        table.c.org == tx.org,
        table.c.enrolment_id == enrolment,
        table.c.confirmed_at.is_not(None),
        table.c.retired_at.is_(None),
    )
    return str((await tx.connection.execute(query)).scalar() or "")


async def revoke_certificates(
    tx: OrgTx, cluster: ClusterName, now: datetime, *, but: UUID | None = None
) -> int:
    """Revoke a cluster's certificates, but for those of an enrolment; return how many."""
    query = (
        update(table)
        .where(table.c.org == tx.org, table.c.cluster == cluster, table.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if but is not None:
        query = query.where(table.c.enrolment_id != but)
    return (await tx.connection.execute(query)).rowcount


async def delete_expired(tx: OrgTx, enrolment: UUID, before: datetime) -> None:
    """Delete an enrolment's certificates that expired before a time."""
    await tx.connection.execute(
        delete(table).where(
            table.c.org == tx.org, table.c.enrolment_id == enrolment, table.c.expires_at < before
        )
    )


def _parse(row: Any) -> AgentCertificate:
    return AgentCertificate(
        serial=row.serial,
        fingerprint=row.fingerprint,
        enrolment=row.enrolment_id,
        cluster=ClusterName(row.cluster),
        authority=row.authority_id,
        public_key=row.public_key,
        pem=row.certificate,
        created_at=row.created_at,
        expires_at=row.expires_at,
        confirmed_at=row.confirmed_at,
        retired_at=row.retired_at,
        revoked_at=row.revoked_at,
        instance_id=row.instance_id,
        past_instances=tuple(row.past_instances),
    )
