"""
Revokes credentials, and lists what was revoked.

The row is written in the transaction that ends the credential itself; every replica is notified
at its commit, reads the row and refuses the credential's access tokens.
"""

from collections.abc import Sequence
from datetime import datetime

from controlplane.core.credentials import REVOCATION_KEPT, CredentialKind, Revocation
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.notify.changes import notify_revoked
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_INSERT = statement("""
INSERT INTO revocations (org, credential_kind, credential_id, revoked_at, expires_at)
SELECT :org, :kind, id, :now, :expires_at FROM unnest(CAST(:ids AS text[])) AS id
ON CONFLICT (org, credential_kind, credential_id)
DO UPDATE SET revoked_at = EXCLUDED.revoked_at, expires_at = EXCLUDED.expires_at
""")
_LIST = statement("""
SELECT org, credential_kind, credential_id, expires_at FROM revocations
WHERE revoked_at >= :since_at ORDER BY revoked_at
""")
_DELETE = statement("DELETE FROM revocations WHERE expires_at < :now")


async def revoke(
    tx: OrgTx | FleetTx, org: OrgName, kind: CredentialKind, credential: str, now: datetime
) -> None:
    """
    Refuse the access tokens of a credential, and end its streams, on every replica.

    ``credential``: as in ``core.callers.Credential.id``. The credential itself is another row,
    which the caller changes in the same transaction.
    """
    await revoke_all(tx, org, kind, [credential], now)


async def revoke_all(
    tx: OrgTx | FleetTx,
    org: OrgName,
    kind: CredentialKind,
    credentials: Sequence[str],
    now: datetime,
) -> None:
    """Do so for distinct credentials of an org, in one statement."""
    if not credentials:
        return
    values = {
        "org": org,
        "kind": kind.value,
        "ids": list(credentials),
        "now": now,
        "expires_at": now + REVOCATION_KEPT,
    }
    await tx.connection.execute(_INSERT, values)
    await notify_revoked(tx, org)


async def list_revoked(tx: FleetTx, since: datetime) -> Sequence[Revocation]:
    """List what was revoked at ``since`` or later, oldest first."""
    rows = await tx.connection.execute(_LIST, {"since_at": since})
    return [
        Revocation(OrgName(row.org), row.credential_kind, row.credential_id, row.expires_at)
        for row in rows
    ]


async def delete_expired_revocations(tx: FleetTx, now: datetime) -> int:
    """Delete revocations that no valid token can refer to; return how many."""
    return (await tx.connection.execute(_DELETE, {"now": now})).rowcount
