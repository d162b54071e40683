"""Reads profiles of members and service accounts, by their subjects."""

from collections.abc import Iterable

from controlplane.core.profiles import (
    SERVICE_ACCOUNT,
    USER,
    Profile,
    Profiles,
    list_ids,
    subject_of,
)
from controlplane.store.database import OrgTx
from controlplane.store.statements import statement

_FIND = statement("""
SELECT 'user' AS kind, user_id AS id, name, email FROM members
WHERE org = :org AND user_id = ANY(CAST(:users AS uuid[]))
UNION ALL
SELECT 'serviceaccount', account_id, name, '' FROM service_accounts
WHERE org = :org AND account_id = ANY(CAST(:accounts AS uuid[]))
""")


async def find_profiles(tx: OrgTx, subjects: Iterable[str]) -> Profiles:
    """Return the profiles of these subjects, by one statement; none if all are anonymous."""
    subjects = set(subjects)
    users, accounts = list_ids(subjects, USER), list_ids(subjects, SERVICE_ACCOUNT)
    if not users and not accounts:
        return {}
    rows = await tx.rows(_FIND, {"users": users, "accounts": accounts})
    return {subject_of(row.kind, row.id): Profile(row.name, row.email) for row in rows}
