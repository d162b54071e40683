"""Stores the members of orgs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.identity import Member, PrincipalKind, User, UserId
from controlplane.core.lists import Listing
from controlplane.core.roles import OWNER
from controlplane.store.database import OrgTx
from controlplane.store.identity_tables import members, role_bindings
from controlplane.store.resources.filters import among, text_field, timestamp_field, uuids
from controlplane.store.resources.pages import Key, page

_FIELDS = among({
    "email": text_field(members.c.email),
    "name": text_field(members.c.name),
    "role": text_field(members.c.role),
    "source": text_field(members.c.source),
    "created_at": timestamp_field(members.c.created_at),
})  # fmt: skip


async def add_member(
    tx: OrgTx, user: User, role: str, *, source: str, now: datetime, groups: Sequence[str] = ()
) -> bool:
    """Insert a member; False if the user is one already."""
    made = await tx.connection.execute(
        insert(members)
        .values(
            org=tx.org,
            user_id=user.id,
            role=role,
            email=user.email,
            name=user.name,
            source=source,
            groups=list(groups),
            created_at=now,
            seen_at=now,
        )
        .on_conflict_do_nothing()
        .returning(members.c.user_id)
    )
    return made.first() is not None


async def save_seen(tx: OrgTx, user: User, groups: Sequence[str] | None, now: datetime) -> bool:
    """
    Update a member from a login or a refresh; False if the user is no member.

    ``groups``: as the identity provider names them now; None keeps those there are.
    """
    values: dict[str, Any] = {"email": user.email, "name": user.name, "seen_at": now}
    if groups is not None:
        values["groups"] = sorted(set(groups))
    done = await tx.connection.execute(
        update(members)
        .where(members.c.org == tx.org, members.c.user_id == user.id)
        .values(values)
        .returning(members.c.user_id)
    )
    return done.first() is not None


async def find_member(tx: OrgTx, user: UserId, *, lock: bool = False) -> Member | None:
    query = select(members).where(members.c.org == tx.org, members.c.user_id == user)
    row = (await tx.connection.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else _parse(row)


async def lock_owners(tx: OrgTx) -> Sequence[UserId]:
    """Lock the members with the role owner, by user, and return them."""
    query = (
        select(members.c.user_id)
        .where(members.c.org == tx.org, members.c.role == OWNER)
        .order_by(members.c.user_id)
        .with_for_update()
    )
    return [UserId(row.user_id) for row in await tx.connection.execute(query)]


async def set_role(tx: OrgTx, user: UserId, role: str) -> None:
    await tx.connection.execute(
        update(members)
        .where(members.c.org == tx.org, members.c.user_id == user)
        .values(role=role, version=members.c.version + 1)
    )


async def remove_member(tx: OrgTx, user: UserId) -> None:
    """Delete a member with their role bindings."""
    await tx.connection.execute(
        delete(role_bindings).where(
            role_bindings.c.org == tx.org,
            role_bindings.c.principal_kind == PrincipalKind.USER.value,
            role_bindings.c.principal_id == str(user),
        )
    )
    await tx.connection.execute(
        delete(members).where(members.c.org == tx.org, members.c.user_id == user)
    )


async def count_members(tx: OrgTx) -> int:
    query = select(func.count()).select_from(members).where(members.c.org == tx.org)
    return int((await tx.connection.execute(query)).scalar_one())


async def list_members(tx: OrgTx, listing: Listing) -> tuple[Sequence[Member], str]:
    """List members, by default in the order of their ids: the primary key serves every page."""
    by_id = (Key(uuids(members.c.user_id)),)
    query = select(members).where(members.c.org == tx.org)
    rows, token = await page(tx, query, _FIELDS, listing, by_id)
    return [_parse(row) for row in rows], token


def _parse(row: Any) -> Member:
    return Member(
        user=UserId(row.user_id),
        role=row.role,
        email=row.email,
        name=row.name,
        source=row.source,
        groups=row.groups,
        created_at=row.created_at,
        seen_at=row.seen_at,
        version=row.version,
    )
