"""
Stores people's logins at their org's providers: the token by which their groups are read again.

A check claims its row by one guarded UPDATE of ``checked_at``: of several replicas one asks the
provider, as many providers accept a refresh token only once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from controlplane.core.identity import UserId
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_SAVE = statement("""
INSERT INTO provider_logins (
    user_id, provider_id, org, refresh_token, checked_at, confirmed_at, seen_at)
VALUES (:user_id, :provider_id, :org, :refresh_token, :now, :now, :now)
ON CONFLICT (user_id, provider_id) DO UPDATE SET
    refresh_token = excluded.refresh_token, checked_at = excluded.checked_at,
    confirmed_at = excluded.confirmed_at, seen_at = excluded.seen_at
""")
_CONFIRM = statement("""
UPDATE provider_logins SET refresh_token = :refresh_token, confirmed_at = :now
WHERE user_id = :user_id AND provider_id = :provider_id
""")
_SEEN = statement("""
UPDATE provider_logins SET seen_at = :now WHERE user_id = :user_id AND seen_at < :seen_at
""")
_DUE = """
SELECT l.user_id, l.provider_id FROM provider_logins l
WHERE l.checked_at < :checked_at AND {condition}
ORDER BY l.checked_at, l.user_id, l.provider_id LIMIT :most FOR UPDATE SKIP LOCKED
"""
_CLAIM = """
WITH due AS MATERIALIZED ({due}), claimed AS (
    UPDATE provider_logins l SET checked_at = :now FROM due d
    WHERE l.user_id = d.user_id AND l.provider_id = d.provider_id
    RETURNING l.*
)
SELECT c.*, i.subject FROM claimed c
LEFT JOIN LATERAL (
    SELECT i.subject FROM user_identities i
    JOIN identity_providers p ON p.org = c.org AND p.provider_id = c.provider_id
    WHERE i.user_id = c.user_id AND i.issuer = p.issuer LIMIT 1
) i ON true
"""
_CLAIM_ACTIVE = statement(_CLAIM.format(due=_DUE.format(condition="l.seen_at > :seen_at")))
_CLAIM_OF_USER = statement(_CLAIM.format(due=_DUE.format(condition="l.user_id = :user_id")))
_DELETE = statement("""
DELETE FROM provider_logins WHERE user_id = :user_id AND provider_id = :provider_id
""")
_DELETE_OF_PROVIDER = statement("DELETE FROM provider_logins WHERE provider_id = :provider_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLogin:
    user: UserId
    provider: UUID
    org: OrgName
    subject: str  # at the provider; "" if it is not known any more
    refresh_token: bytes | None  # sealed
    confirmed_at: datetime


async def save_login(
    tx: FleetTx,
    user: UserId,
    provider: UUID,
    org: OrgName,
    *,
    token: bytes | None,
    now: datetime,
) -> None:
    """Note a login, which is also a check of the groups."""
    values = {
        "user_id": user,
        "provider_id": provider,
        "org": org,
        "refresh_token": token,
        "now": now,
    }
    await tx.connection.execute(_SAVE, values)


async def confirm(
    tx: FleetTx, user: UserId, provider: UUID, token: bytes | None, now: datetime
) -> None:
    """Note that the provider has answered, with the token that it takes next."""
    values = {"user_id": user, "provider_id": provider, "refresh_token": token, "now": now}
    await tx.connection.execute(_CONFIRM, values)


async def save_seen(tx: FleetTx, user: UserId, now: datetime, *, before: datetime) -> None:
    """Note that a person is active, unless that was noted after ``before``."""
    values = {"user_id": user, "now": now, "seen_at": before}
    await tx.connection.execute(_SEEN, values)


async def claim_active(
    tx: FleetTx, *, checked_before: datetime, seen_after: datetime, most: int, now: datetime
) -> Sequence[ProviderLogin]:
    """Claim a page of logins of active people whose groups were read before this time."""
    values = {
        "checked_at": checked_before,
        "seen_at": seen_after,
        "most": most,
        "now": now,
    }
    return [_parse(row) for row in await tx.connection.execute(_CLAIM_ACTIVE, values)]


async def claim_of_user(
    tx: FleetTx, user: UserId, *, checked_before: datetime, now: datetime
) -> Sequence[ProviderLogin]:
    """Claim a person's logins whose groups were read before this time."""
    values = {"user_id": user, "checked_at": checked_before, "most": 20, "now": now}
    return [_parse(row) for row in await tx.connection.execute(_CLAIM_OF_USER, values)]


async def delete_login(tx: FleetTx, user: UserId, provider: UUID) -> None:
    await tx.connection.execute(_DELETE, {"user_id": user, "provider_id": provider})


async def delete_all_at(tx: FleetTx, provider: UUID) -> None:
    await tx.connection.execute(_DELETE_OF_PROVIDER, {"provider_id": provider})


def _parse(row: Any) -> ProviderLogin:
    return ProviderLogin(
        user=UserId(row.user_id),
        provider=row.provider_id,
        org=OrgName(row.org),
        subject=row.subject or "",
        refresh_token=row.refresh_token,
        confirmed_at=row.confirmed_at,
    )
