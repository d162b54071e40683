"""Stores users, who are the same in all orgs, and the accounts by which they log in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from controlplane.core.identity import Membership, User, UserId
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_INSERT_USER = statement("""
INSERT INTO users (user_id, email, email_verified, name, created_at)
VALUES (:user_id, :email, :email_verified, :name, :now)
""")
_INSERT_IDENTITY = statement("""
INSERT INTO user_identities (issuer, subject, user_id, created_at, seen_at)
VALUES (:issuer, :subject, :user_id, :now, :now) ON CONFLICT DO NOTHING
RETURNING user_id
""")
_SEEN = statement("""
UPDATE user_identities SET seen_at = :now
WHERE issuer = :issuer AND subject = :subject RETURNING user_id
""")
_UPDATE_USER = statement("""
UPDATE users SET email = :email, email_verified = :email_verified, name = :name
WHERE user_id = :user_id
""")
_DELETE_USER = statement("DELETE FROM users WHERE user_id = :user_id")
_FIND = statement("SELECT user_id, email, email_verified, name FROM users WHERE user_id = :user_id")
_MEMBERSHIPS = statement("""
SELECT m.org, o.name, m.role FROM members m JOIN orgs o ON o.org = m.org
WHERE m.user_id = :user_id AND m.org > :after AND o.deleted_at IS NULL ORDER BY m.org LIMIT :most
""")
_JOINABLE = statement("""
SELECT e.org, o.name, e.role FROM email_domains e JOIN orgs o ON o.org = e.org
WHERE e.domain = :domain AND o.deleted_at IS NULL AND NOT EXISTS (
    SELECT FROM members m WHERE m.org = e.org AND m.user_id = :user_id
) ORDER BY e.org LIMIT 100
""")


async def save_login(tx: FleetTx, issuer: str, subject: str, user: User, now: datetime) -> UserId:
    """
    Return the id of the user who logs in with this account; ``user.id`` is for a new one.

    Their e-mail address and name become those of ``user``. Two first logins at once make one
    user: the second waits for the first, and takes its user.
    """
    account = {"issuer": issuer, "subject": subject, "now": now}
    known = (await tx.connection.execute(_SEEN, account)).first()
    if known is None:
        await tx.connection.execute(_INSERT_USER, {**_columns(user, user.id), "now": now})
        mine = await tx.connection.execute(_INSERT_IDENTITY, {**account, "user_id": user.id})
        if mine.first() is not None:
            return user.id
        await tx.connection.execute(_DELETE_USER, {"user_id": user.id})
        known = (await tx.connection.execute(_SEEN, account)).one()
    found = UserId(known.user_id)
    await tx.connection.execute(_UPDATE_USER, _columns(user, found))
    return found


async def find_user(tx: FleetTx, user: UserId) -> User | None:
    row = (await tx.connection.execute(_FIND, {"user_id": user})).first()
    if row is None:
        return None
    return User(
        id=UserId(row.user_id), email=row.email, email_verified=row.email_verified, name=row.name
    )


async def list_memberships(
    tx: FleetTx, user: UserId, *, after: str, most: int
) -> Sequence[Membership]:
    """List the orgs of a user by name, after this one."""
    values = {"user_id": user, "after": after, "most": most}
    return _memberships(await tx.connection.execute(_MEMBERSHIPS, values))


async def list_joinable(tx: FleetTx, user: UserId, domain: str) -> Sequence[Membership]:
    """List the orgs that users of an e-mail domain may join, and that this user has not joined."""
    values = {"user_id": user, "domain": domain}
    return _memberships(await tx.connection.execute(_JOINABLE, values))


def _memberships(rows: Any) -> Sequence[Membership]:
    return [Membership(org=OrgName(row.org), display_name=row.name, role=row.role) for row in rows]


def _columns(user: User, id_: UserId) -> dict[str, Any]:
    return {
        "user_id": id_,
        "email": user.email,
        "email_verified": user.email_verified,
        "name": user.name,
    }
