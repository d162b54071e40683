"""Stores orgs: their names for display, and who created them."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

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
    )


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
