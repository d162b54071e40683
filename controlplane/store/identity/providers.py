"""Stores the identity providers of orgs; client secrets come and go sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.identity_providers import ProviderSettings
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.login_tables import identity_providers as table
from controlplane.store.statements import not_deleted, statement
from shared.model.ids import OrgName

_OF_EMAIL_DOMAIN = statement(f"""
SELECT DISTINCT p.org FROM email_domains e
JOIN identity_providers p ON p.org = e.org AND p.enabled AND e.domain = ANY (p.email_domains)
WHERE e.domain = :domain AND {not_deleted("e.org")} ORDER BY p.org LIMIT 20
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    id: UUID
    org: OrgName
    settings: ProviderSettings
    sealed_secret: bytes | None
    created_by: str
    created_at: datetime
    version: int


async def insert_provider(tx: OrgTx, row: ProviderRow) -> bool:
    """Insert a provider; False if the org has one with this issuer and client id."""
    made = await tx.connection.execute(
        insert(table)
        .values(
            org=tx.org,
            provider_id=row.id,
            client_secret=row.sealed_secret,
            created_by=row.created_by,
            created_at=row.created_at,
            **_columns(row.settings),
        )
        .on_conflict_do_nothing()
        .returning(table.c.provider_id)
    )
    return made.first() is not None


async def update_provider(
    tx: OrgTx, provider: UUID, settings: ProviderSettings, sealed_secret: bytes | None
) -> None:
    await tx.connection.execute(
        update(table)
        .where(table.c.org == tx.org, table.c.provider_id == provider)
        .values(client_secret=sealed_secret, version=table.c.version + 1, **_columns(settings))
    )


async def delete_provider(tx: OrgTx, provider: UUID) -> bool:
    gone = await tx.connection.execute(
        delete(table)
        .where(table.c.org == tx.org, table.c.provider_id == provider)
        .returning(table.c.provider_id)
    )
    return gone.first() is not None


async def find_provider(tx: OrgTx, provider: UUID, *, lock: bool = False) -> ProviderRow | None:
    query = select(table).where(table.c.org == tx.org, table.c.provider_id == provider)
    row = (await tx.connection.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else _parse(row)


async def list_providers(tx: OrgTx) -> Sequence[ProviderRow]:
    """List the org's providers by name; there are few."""
    query = select(table).where(table.c.org == tx.org).order_by(table.c.name, table.c.provider_id)
    return [_parse(row) for row in await tx.connection.execute(query)]


async def count_providers(tx: OrgTx) -> int:
    query = select(func.count()).where(table.c.org == tx.org)
    return int((await tx.connection.execute(query)).scalar_one())


async def count_enabled(tx: OrgTx) -> int:
    query = select(func.count()).where(table.c.org == tx.org, table.c.enabled)
    return int((await tx.connection.execute(query)).scalar_one())


async def find_orgs_of_email_domain(tx: FleetTx, domain: str) -> Sequence[OrgName]:
    """
    Return the orgs whose providers log people of this e-mail domain in.

    Only orgs that have shown that the domain is theirs (``email_domains``): another one could
    otherwise lead the domain's people to a provider of its own.
    """
    rows = await tx.connection.execute(_OF_EMAIL_DOMAIN, {"domain": domain})
    return [OrgName(row.org) for row in rows]


def _columns(settings: ProviderSettings) -> Mapping[str, Any]:
    return {
        "name": settings.name,
        "issuer": settings.issuer,
        "client_id": settings.client_id,
        "scopes": list(settings.scopes),
        "groups_claim": settings.groups_claim,
        "email_domains": list(settings.email_domains),
        "role": settings.role,
        "enabled": settings.is_enabled,
    }


def _parse(row: Any) -> ProviderRow:
    return ProviderRow(
        id=row.provider_id,
        org=OrgName(row.org),
        settings=ProviderSettings(
            name=row.name,
            issuer=row.issuer,
            client_id=row.client_id,
            scopes=tuple(row.scopes),
            groups_claim=row.groups_claim,
            email_domains=tuple(row.email_domains),
            role=row.role,
            is_enabled=row.enabled,
        ),
        sealed_secret=row.client_secret,
        created_by=row.created_by,
        created_at=row.created_at,
        version=row.version,
    )
