"""Reads what a subject was granted in an org, in one statement."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from controlplane.core.callers import Caller, Credential, Grant, Permission, Subject
from controlplane.core.identity import find_account_id, find_user_id
from controlplane.core.roles import BUILT_IN_ROLES
from controlplane.store.database import OrgTx
from controlplane.store.statements import not_deleted, statement

# Each row is one bound role; a principal without any has one row without a role. The principal is
# a parameter: a cast of the id is not leakproof, so under row-level security it is no index condition.
_OF_USER = statement(f"""
SELECT m.name, m.email, b.role, b.project, b.domain, r.permissions
FROM members m
LEFT JOIN LATERAL (
    SELECT m.role, '' AS project, '' AS domain WHERE m.role <> ''
    UNION ALL
    SELECT b.role, b.project, b.domain FROM role_bindings b
    WHERE b.org = m.org AND b.principal_kind = 'user' AND b.principal_id = :principal
    UNION ALL
    SELECT b.role, b.project, b.domain FROM role_bindings b
    WHERE b.org = m.org AND b.principal_kind = 'group' AND b.principal_id = ANY (m.groups)
) b ON true
LEFT JOIN roles r ON r.org = m.org AND r.role = b.role
WHERE m.org = :org AND m.user_id = :id AND {not_deleted("m.org")}
""")
_OF_ACCOUNT = statement(f"""
SELECT a.name, '' AS email, b.role, b.project, b.domain, r.permissions
FROM service_accounts a
LEFT JOIN role_bindings b ON b.org = a.org AND b.principal_kind = 'service_account'
    AND b.principal_id = :principal
LEFT JOIN roles r ON r.org = a.org AND r.role = b.role
WHERE a.org = :org AND a.account_id = :id AND a.disabled_at IS NULL AND {not_deleted("a.org")}
""")


async def resolve_caller(
    tx: OrgTx, subject: Subject, credential: Credential | None = None
) -> Caller | None:
    """
    Return the subject with its grants in the transaction's org.

    None: it is no member, or no enabled service account, of the org (any more), or the org was
    deleted.
    """
    if (user := find_user_id(subject)) is not None:
        return await _read(tx, _OF_USER, user, subject, credential)
    if (account := find_account_id(subject)) is not None:
        return await _read(tx, _OF_ACCOUNT, account, subject, credential)
    return None


async def _read(
    tx: OrgTx, query: Any, id_: UUID, subject: Subject, credential: Credential | None
) -> Caller | None:
    rows: Any = await tx.rows(query, {"id": id_, "principal": str(id_)})
    if not rows:
        return None
    grants = [
        Grant(permissions_of(row.role, row.permissions), row.project, row.domain)
        for row in rows
        if row.role is not None
    ]
    return Caller(
        subject=subject,
        org=tx.org,
        name=rows[0].name,
        email=rows[0].email,
        grants=tuple(grants),
        credential=credential,
    )


def permissions_of(role: str, stored: Iterable[str] | None) -> frozenset[Permission]:
    """Return the permissions of a role; a later release's permissions are left out."""
    if role in BUILT_IN_ROLES:
        return BUILT_IN_ROLES[role]
    known = {each.value for each in Permission}
    return frozenset(Permission(each) for each in stored or () if each in known)
