"""Stores authorization codes by their digest; each is taken once."""

from datetime import datetime

from controlplane.core.callers import Subject
from controlplane.core.oauth import AuthorizationCode, Login
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_INSERT = statement("""
INSERT INTO authorization_codes (
    digest, org, subject, client_id, redirect_uri, code_challenge, provider_org, created_at,
    expires_at)
VALUES (:digest, :org, :subject, :client_id, :redirect_uri, :code_challenge, :provider_org,
    :now, :expires_at)
""")
_TAKE = statement("""
DELETE FROM authorization_codes WHERE digest = :digest
RETURNING org, subject, provider_org, client_id, redirect_uri, code_challenge, expires_at
""")


async def insert_code(tx: FleetTx, digest: bytes, code: AuthorizationCode, now: datetime) -> None:
    await tx.connection.execute(
        _INSERT,
        {
            "digest": digest,
            "org": code.login.org,
            "subject": code.login.subject,
            "provider_org": code.login.provider_org,
            "client_id": code.client_id,
            "redirect_uri": code.redirect_uri,
            "code_challenge": code.code_challenge,
            "now": now,
            "expires_at": code.expires_at,
        },
    )


async def take_code(tx: FleetTx, digest: bytes) -> AuthorizationCode | None:
    """Delete a code and return it: of several transactions at once, one gets it."""
    row = (await tx.connection.execute(_TAKE, {"digest": digest})).first()
    if row is None:
        return None
    return AuthorizationCode(
        login=Login(OrgName(row.org), Subject(row.subject), OrgName(row.provider_org)),
        client_id=row.client_id,
        redirect_uri=row.redirect_uri,
        code_challenge=row.code_challenge,
        expires_at=row.expires_at,
    )
