"""
Stores token families and their refresh tokens, each by its digest.

A token is replaced by one guarded UPDATE, so of several transactions that present it at once
one replaces it, and the others find its successor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from controlplane.core.callers import Subject
from controlplane.core.credentials import CredentialKind
from controlplane.core.oauth import LiveFamily, Login, TokenFamily
from controlplane.store.credentials.revocations import revoke, revoke_all
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_FAMILY = "f.family_id, f.org, f.subject, f.provider_org, f.client_id, f.expires_at, f.revoked_at"

_INSERT_FAMILY = statement("""
INSERT INTO token_families (
    family_id, org, subject, provider_org, client_id, created_at, used_at, expires_at)
VALUES (:family_id, :org, :subject, :provider_org, :client_id, :now, :now, :expires_at)
""")
_INSERT_TOKEN = statement("""
INSERT INTO refresh_tokens (digest, family_id, created_at, expires_at)
VALUES (:digest, :family_id, :now, :expires_at)
""")
_REPLACE = statement(f"""
UPDATE refresh_tokens r SET used_at = :now, successor = :successor
FROM token_families f
WHERE r.digest = :digest AND r.used_at IS NULL AND r.expires_at > :now
  AND f.family_id = r.family_id AND f.client_id = :client_id
  AND f.revoked_at IS NULL AND f.expires_at > :now
RETURNING {_FAMILY}
""")
_USED = statement("UPDATE token_families SET used_at = :now WHERE family_id = :family_id")
_FIND = statement(f"""
SELECT {_FAMILY}, r.used_at AS replaced_at, r.successor, r.expires_at AS token_expires_at
FROM refresh_tokens r JOIN token_families f ON f.family_id = r.family_id
WHERE r.digest = :digest
""")
_REVOKE = statement(f"""
UPDATE token_families f SET revoked_at = :now, revoked_because = :because
WHERE f.family_id = :family_id AND f.revoked_at IS NULL
RETURNING {_FAMILY}
""")
_REVOKE_PAGE = """
WITH page AS MATERIALIZED (
    SELECT family_id FROM token_families
    WHERE org = :org AND {those} AND revoked_at IS NULL AND expires_at > :now
    ORDER BY org, family_id LIMIT :most FOR UPDATE
)
UPDATE token_families f SET revoked_at = :now, revoked_because = :because
FROM page WHERE f.family_id = page.family_id
RETURNING f.family_id
"""
_REVOKE_OTHERS = statement(_REVOKE_PAGE.format(those="provider_org <> :org"))
_REVOKE_OF_ORG = statement(_REVOKE_PAGE.format(those="true"))
_REVOKE_AT = statement("""
WITH page AS MATERIALIZED (
    SELECT f.family_id FROM provider_logins l
    JOIN token_families f ON f.org = :org AND f.subject = 'user:' || l.user_id
    WHERE l.org = :org AND l.provider_id = :provider_id
      AND f.revoked_at IS NULL AND f.expires_at > :now
    ORDER BY f.family_id LIMIT :most FOR UPDATE OF f
)
UPDATE token_families f SET revoked_at = :now, revoked_because = :because
FROM page WHERE f.family_id = page.family_id
RETURNING f.family_id
""")
_LIVE = statement(f"""
SELECT {_FAMILY}, f.created_at, f.used_at FROM token_families f
WHERE f.org = :org AND f.subject = :subject AND f.revoked_at IS NULL AND f.expires_at > :now
ORDER BY f.created_at DESC LIMIT 1000
""")


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A refresh token's row: its family, and what became of it."""

    family: TokenFamily
    replaced_at: datetime | None
    successor: bytes | None  # sealed
    expires_at: datetime


async def insert_family(tx: FleetTx, family: TokenFamily, now: datetime) -> None:
    values = {
        "family_id": family.id,
        "org": family.login.org,
        "subject": family.login.subject,
        "provider_org": family.login.provider_org,
        "client_id": family.client_id,
        "expires_at": family.expires_at,
        "now": now,
    }
    await tx.connection.execute(_INSERT_FAMILY, values)


async def insert_token(
    tx: FleetTx, digest: bytes, family: UUID, expires_at: datetime, now: datetime
) -> None:
    values = {"digest": digest, "family_id": family, "expires_at": expires_at, "now": now}
    await tx.connection.execute(_INSERT_TOKEN, values)


async def replace_token(
    tx: FleetTx, digest: bytes, client_id: str, successor: bytes, now: datetime
) -> TokenFamily | None:
    """Mark a valid token as used, with its sealed successor; None if it is not valid any more."""
    values = {"digest": digest, "client_id": client_id, "successor": successor, "now": now}
    row = (await tx.connection.execute(_REPLACE, values)).first()
    if row is None:
        return None
    await tx.connection.execute(_USED, {"family_id": row.family_id, "now": now})
    return _parse(row)


async def find_token(tx: FleetTx, digest: bytes) -> FoundToken | None:
    row = (await tx.connection.execute(_FIND, {"digest": digest})).first()
    if row is None:
        return None
    return FoundToken(_parse(row), row.replaced_at, row.successor, row.token_expires_at)


async def revoke_family(
    tx: FleetTx, family: UUID, because: str, now: datetime
) -> TokenFamily | None:
    """Revoke a login with all its tokens; None if it does not exist or was revoked before."""
    values = {"family_id": family, "because": because, "now": now}
    row = (await tx.connection.execute(_REVOKE, values)).first()
    if row is None:
        return None
    await revoke(tx, OrgName(row.org), CredentialKind.LOGIN, str(row.family_id), now)
    return _parse(row)


async def revoke_of_other_providers(
    tx: FleetTx, org: OrgName, because: str, now: datetime, *, most: int
) -> int:
    """Revoke up to ``most`` logins in an org that began at no provider of its own; return how many."""
    values = {"org": org, "because": because, "now": now, "most": most}
    rows = (await tx.connection.execute(_REVOKE_OTHERS, values)).all()
    await revoke_all(tx, org, CredentialKind.LOGIN, [str(row.family_id) for row in rows], now)
    return len(rows)


async def revoke_of_org(
    tx: FleetTx, org: OrgName, because: str, now: datetime, *, most: int
) -> int:
    """Revoke up to ``most`` logins in an org; return how many."""
    values = {"org": org, "because": because, "now": now, "most": most}
    rows = (await tx.connection.execute(_REVOKE_OF_ORG, values)).all()
    await revoke_all(tx, org, CredentialKind.LOGIN, [str(row.family_id) for row in rows], now)
    return len(rows)


async def revoke_at_provider(
    tx: FleetTx, org: OrgName, provider: UUID, because: str, now: datetime, *, most: int
) -> int:
    """Revoke up to ``most`` logins in an org of people who logged in at a provider; return how many."""
    values = {
        "org": org,
        "provider_id": provider,
        "because": because,
        "now": now,
        "most": most,
    }
    rows = (await tx.connection.execute(_REVOKE_AT, values)).all()
    await revoke_all(tx, org, CredentialKind.LOGIN, [str(row.family_id) for row in rows], now)
    return len(rows)


async def list_live(tx: FleetTx, login: Login, now: datetime) -> Sequence[LiveFamily]:
    """List a person's valid logins in an org, newest first; the first thousand."""
    values = {"org": login.org, "subject": login.subject, "now": now}
    rows = await tx.connection.execute(_LIVE, values)
    return [LiveFamily(_parse(row), row.created_at, row.used_at) for row in rows]


def _parse(row: "Row[tuple[object, ...]]") -> TokenFamily:
    return TokenFamily(
        id=row.family_id,
        login=Login(OrgName(row.org), Subject(row.subject), OrgName(row.provider_org)),
        client_id=row.client_id,
        expires_at=row.expires_at,
        is_revoked=row.revoked_at is not None,
    )
