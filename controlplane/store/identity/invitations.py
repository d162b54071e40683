"""Stores invitations by link, and the e-mail domains whose users may join."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.identity import EmailDomain, Invitation, UserId
from controlplane.core.lists import Listing
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.identity_tables import email_domains, invitations
from controlplane.store.resources.filters import among, text_field, timestamp_field, uuids
from controlplane.store.resources.pages import Key, page
from shared.model.ids import OrgName

_FIELDS = among({
    "email": text_field(invitations.c.email),
    "role": text_field(invitations.c.role),
    "expires_at": timestamp_field(invitations.c.expires_at),
    "used_at": timestamp_field(invitations.c.used_at),
})  # fmt: skip


async def create_invitation(tx: OrgTx, invitation: Invitation, digest: bytes) -> None:
    await tx.connection.execute(
        insert(invitations).values(
            org=tx.org,
            invitation_id=invitation.id,
            email=invitation.email,
            role=invitation.role,
            project=invitation.project,
            domain=invitation.domain,
            digest=digest,
            created_by=invitation.created_by,
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
        )
    )


async def find_org_of_invitation(tx: FleetTx, digest: bytes) -> OrgName | None:
    """Return the org of the invitation whose token has this digest."""
    query = select(invitations.c.org).where(invitations.c.digest == digest)
    found = (await tx.connection.execute(query)).scalar_one_or_none()
    return None if found is None else OrgName(str(found))


async def lock_invitation(tx: OrgTx, digest: bytes) -> Invitation | None:
    """Lock and return an invitation, used, expired or open."""
    query = (
        select(invitations)
        .where(invitations.c.org == tx.org, invitations.c.digest == digest)
        .with_for_update()
    )
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse(row)


async def find_invitation(tx: OrgTx, invitation: UUID) -> Invitation | None:
    query = select(invitations).where(
        invitations.c.org == tx.org, invitations.c.invitation_id == invitation
    )
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse(row)


async def use_invitation(tx: OrgTx, invitation: UUID, user: UserId, now: datetime) -> None:
    await tx.connection.execute(
        update(invitations)
        .where(invitations.c.org == tx.org, invitations.c.invitation_id == invitation)
        .values(used_at=now, used_by=user)
    )


async def delete_invitation(tx: OrgTx, invitation: UUID) -> bool:
    """Delete an invitation; False if it does not exist."""
    gone = await tx.connection.execute(
        delete(invitations)
        .where(invitations.c.org == tx.org, invitations.c.invitation_id == invitation)
        .returning(invitations.c.invitation_id)
    )
    return gone.first() is not None


async def delete_open_of(tx: OrgTx, created_by_prefix: str, role: str) -> None:
    """Delete unused invitations to a role that subjects with this prefix have created."""
    await tx.connection.execute(
        delete(invitations).where(
            invitations.c.org == tx.org,
            invitations.c.role == role,
            invitations.c.created_by.startswith(created_by_prefix, autoescape=True),
            invitations.c.used_at.is_(None),
        )
    )


async def delete_expired(tx: OrgTx, before: datetime) -> None:
    """Delete invitations that ended before this time, used or not."""
    await tx.connection.execute(
        delete(invitations).where(invitations.c.org == tx.org, invitations.c.expires_at < before)
    )


async def count_invitations(tx: OrgTx) -> int:
    query = select(func.count()).where(invitations.c.org == tx.org)
    return int((await tx.connection.execute(query)).scalar_one())


async def list_invitations(tx: OrgTx, listing: Listing) -> tuple[Sequence[Invitation], str]:
    """List invitations, newest first by default."""
    newest = (Key(uuids(invitations.c.invitation_id), ascending=False),)
    query = select(invitations).where(invitations.c.org == tx.org)
    rows, token = await page(tx, query, _FIELDS, listing, newest)
    return [_parse(row) for row in rows], token


async def save_email_domain(tx: OrgTx, domain: str, role: str, *, by: str, now: datetime) -> None:
    """Let users of a domain join with a role; the role of an existing one changes."""
    made = insert(email_domains).values(
        org=tx.org, domain=domain, role=role, created_by=by, created_at=now
    )
    await tx.connection.execute(
        made.on_conflict_do_update(
            index_elements=["org", "domain"], set_={"role": made.excluded.role}
        )
    )


async def find_email_domain(tx: OrgTx, domain: str) -> EmailDomain | None:
    query = select(email_domains).where(
        email_domains.c.org == tx.org, email_domains.c.domain == domain
    )
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse_domain(row)


async def delete_email_domain(tx: OrgTx, domain: str) -> bool:
    """Delete a domain; False if it does not exist."""
    gone = await tx.connection.execute(
        delete(email_domains)
        .where(email_domains.c.org == tx.org, email_domains.c.domain == domain)
        .returning(email_domains.c.domain)
    )
    return gone.first() is not None


async def list_email_domains(tx: OrgTx) -> Sequence[EmailDomain]:
    query = (
        select(email_domains).where(email_domains.c.org == tx.org).order_by(email_domains.c.domain)
    )
    return [_parse_domain(row) for row in await tx.connection.execute(query)]


def _parse(row: Any) -> Invitation:
    return Invitation(
        id=row.invitation_id,
        role=row.role,
        email=row.email,
        project=row.project,
        domain=row.domain,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        used_by=None if row.used_by is None else UserId(row.used_by),
    )


def _parse_domain(row: Any) -> EmailDomain:
    return EmailDomain(
        domain=row.domain, role=row.role, created_by=row.created_by, created_at=row.created_at
    )
