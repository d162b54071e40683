"""Stores custom roles, and bindings of roles to users, service accounts and groups."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, union_all, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.callers import Permission, Scopes
from controlplane.core.identity import Binding, NewBinding, PrincipalKind, Role
from controlplane.core.lists import Listing
from controlplane.store.database import OrgTx
from controlplane.store.identity.grants import permissions_of
from controlplane.store.identity_tables import (
    email_domains,
    invitations,
    members,
    role_bindings,
    roles,
)
from controlplane.store.login_tables import identity_providers
from controlplane.store.resources.filters import among, text_field, uuids
from controlplane.store.resources.pages import Key, page
from controlplane.store.resources.scopes import within

_FIELDS = among({
    "principal_kind": text_field(role_bindings.c.principal_kind),
    "principal_id": text_field(role_bindings.c.principal_id),
    "role": text_field(role_bindings.c.role),
    "project": text_field(role_bindings.c.project),
    "domain": text_field(role_bindings.c.domain),
})  # fmt: skip


async def create_role(tx: OrgTx, role: Role, now: datetime) -> bool:
    """Insert a custom role; False if the name is taken."""
    made = await tx.connection.execute(
        insert(roles)
        .values(
            org=tx.org,
            role=role.name,
            permissions=_sorted(role.permissions),
            description=role.description,
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(roles.c.role)
    )
    return made.first() is not None


async def find_role(tx: OrgTx, name: str, *, lock: bool = False) -> Role | None:
    """Return a custom role."""
    query = select(roles).where(roles.c.org == tx.org, roles.c.role == name)
    row = (await tx.connection.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else _parse_role(row)


async def update_role(
    tx: OrgTx, name: str, permissions: frozenset[Permission], description: str
) -> None:
    await tx.connection.execute(
        update(roles)
        .where(roles.c.org == tx.org, roles.c.role == name)
        .values(
            permissions=_sorted(permissions),
            description=description,
            version=roles.c.version + 1,
        )
    )


async def is_role_used(tx: OrgTx, name: str) -> bool:
    """Return whether a member, a binding, an invitation, an e-mail domain or a provider has it."""
    tables = (members, role_bindings, invitations, email_domains, identity_providers)
    uses = [
        select(table.c.org).where(table.c.org == tx.org, table.c.role == name).limit(1)
        for table in tables
    ]
    found = await tx.connection.execute(union_all(*(each.subquery().select() for each in uses)))
    return found.first() is not None


async def list_roles_of_groups(tx: OrgTx) -> Sequence[NewBinding]:
    """List what is bound to groups, without their names: each role and scope once."""
    query = (
        select(role_bindings.c.role, role_bindings.c.project, role_bindings.c.domain)
        .where(
            role_bindings.c.org == tx.org,
            role_bindings.c.principal_kind == PrincipalKind.GROUP.value,
        )
        .distinct()
    )
    return [
        NewBinding(
            kind=PrincipalKind.GROUP,
            principal="",
            role=row.role,
            project=row.project,
            domain=row.domain,
        )
        for row in await tx.connection.execute(query)
    ]


async def delete_role(tx: OrgTx, name: str) -> None:
    await tx.connection.execute(delete(roles).where(roles.c.org == tx.org, roles.c.role == name))


async def list_roles(tx: OrgTx) -> Sequence[Role]:
    """List the custom roles by name."""
    query = select(roles).where(roles.c.org == tx.org).order_by(roles.c.role)
    return [_parse_role(row) for row in await tx.connection.execute(query)]


async def add_binding(
    tx: OrgTx, binding: UUID, bound: NewBinding, *, by: str, now: datetime
) -> UUID:
    """Insert a binding and return its id; of an equal one that exists, its id."""
    key = {
        "org": tx.org,
        "principal_kind": bound.kind.value,
        "principal_id": bound.principal,
        "role": bound.role,
        "project": bound.project,
        "domain": bound.domain,
    }
    await tx.connection.execute(
        insert(role_bindings)
        .values(binding_id=binding, created_by=by, created_at=now, **key)
        .on_conflict_do_nothing()
    )
    query = select(role_bindings.c.binding_id).filter_by(**key)
    return UUID(str((await tx.connection.execute(query)).scalar_one()))


async def find_binding(tx: OrgTx, binding: UUID) -> Binding | None:
    query = select(role_bindings).where(
        role_bindings.c.org == tx.org, role_bindings.c.binding_id == binding
    )
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse_binding(row)


async def remove_binding(tx: OrgTx, binding: UUID) -> bool:
    """Delete a binding; False if it does not exist."""
    gone = await tx.connection.execute(
        delete(role_bindings)
        .where(role_bindings.c.org == tx.org, role_bindings.c.binding_id == binding)
        .returning(role_bindings.c.binding_id)
    )
    return gone.first() is not None


async def count_bindings(tx: OrgTx) -> int:
    query = select(func.count()).select_from(role_bindings).where(role_bindings.c.org == tx.org)
    return int((await tx.connection.execute(query)).scalar_one())


async def list_bindings(
    tx: OrgTx, scopes: Scopes | None, listing: Listing
) -> tuple[Sequence[Binding], str]:
    """List the bindings in ``scopes`` (None: of the whole org), oldest first by default."""
    table = role_bindings
    query = select(table).where(
        table.c.org == tx.org, within(scopes, table.c.project, table.c.domain)
    )
    oldest = (Key(uuids(table.c.binding_id)),)  # ids sort by the time of creation
    rows, token = await page(tx, query, _FIELDS, listing, oldest)
    return [_parse_binding(row) for row in rows], token


def _sorted(permissions: frozenset[Permission]) -> list[str]:
    return sorted(each.value for each in permissions)


def _parse_role(row: Any) -> Role:
    return Role(
        name=row.role,
        permissions=permissions_of(row.role, row.permissions),
        description=row.description,
        version=row.version,
    )


def _parse_binding(row: Any) -> Binding:
    return Binding(
        id=row.binding_id,
        bound=NewBinding(
            kind=PrincipalKind(row.principal_kind),
            principal=row.principal_id,
            role=row.role,
            project=row.project,
            domain=row.domain,
        ),
        created_by=row.created_by,
        created_at=row.created_at,
    )
