"""Stores orgs: their names for display, and who created them."""

from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.deleted_orgs import Deletion
from controlplane.core.identity import Org
from controlplane.store.database import OrgTx
from controlplane.store.tables import orgs
from shared.model.ids import OrgName


async def create_org(tx: OrgTx, display_name: str, *, by: str, now: datetime) -> bool:
    """Insert the transaction's org; False if it exists."""
    made = await tx.connection.execute(
        insert(orgs)
        .values(org=tx.org, name=display_name, created_by=by, created_at=now)
        .on_conflict_do_nothing()
        .returning(orgs.c.org)
    )
    return made.first() is not None


async def find_org(tx: OrgTx, *, lock: bool = False) -> Org | None:
    query = select(orgs).where(orgs.c.org == tx.org)
    row = (await tx.connection.execute(query.with_for_update() if lock else query)).first()
    if row is None:
        return None
    return Org(
        name=OrgName(row.org),
        display_name=row.name or row.org,
        created_by=row.created_by,
        created_at=row.created_at,
        version=row.version,
        requires_own_provider=row.requires_own_provider,
        deletion=parse_deletion(row),
    )


def parse_deletion(row: Any) -> Deletion | None:
    """Return the deletion in a row of ``orgs``; None if the org is not deleted."""
    if row.deleted_at is None:
        return None
    return Deletion(
        deleted_at=row.deleted_at,
        deleted_by=row.deleted_by,
        agents_until=row.agents_until,
        erase_at=row.erase_at,
        erasing_since=row.erasing_since,
        erased_at=row.erased_at,
    )


async def find_own_deletion(tx: OrgTx) -> Deletion | None:
    """Return how far the deletion of the transaction's org has come; None if it is not deleted."""
    found = await find_org(tx)
    return None if found is None else found.deletion


async def update_org(tx: OrgTx, *, display_name: str, requires_own_provider: bool) -> None:
    await tx.connection.execute(
        update(orgs)
        .where(orgs.c.org == tx.org)
        .values(
            name=display_name,
            requires_own_provider=requires_own_provider,
            version=orgs.c.version + 1,
        )
    )
