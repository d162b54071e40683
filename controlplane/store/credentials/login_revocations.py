"""
Stores which logins are being revoked, from the transaction that decides it until the last page.

The row of a revocation is locked by each page: pages of one revocation follow each other, so that
none finds the logins locked that another page is about to revoke, and takes itself for the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from controlplane.core.credentials import EndedLogins
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

NO_PROVIDER = UUID(int=0)

_BEGIN = statement("""
INSERT INTO login_revocations (org, logins, provider_id, created_at)
VALUES (:org, :logins, :provider_id, :now) ON CONFLICT DO NOTHING
""")
_LIST = statement("""
SELECT org, logins, provider_id FROM login_revocations
WHERE (org, logins, provider_id) > (:org, :logins, :provider_id) AND logins = ANY (:known)
ORDER BY org, logins, provider_id LIMIT :most
""")
_LOCK = """
SELECT 1 FROM login_revocations
WHERE org = :org AND logins = :logins AND provider_id = :provider_id FOR UPDATE
"""
_LOCK_AND_WAIT = statement(_LOCK)
_LOCK_FREE = statement(f"{_LOCK} SKIP LOCKED")
_END = statement("""
DELETE FROM login_revocations
WHERE org = :org AND logins = :logins AND provider_id = :provider_id
""")


@dataclass(frozen=True, slots=True)
class LoginRevocation:
    """Logins in an org that are to be revoked; ``provider``: at which they began, of a provider."""

    org: OrgName
    logins: EndedLogins
    provider: UUID = NO_PROVIDER


async def begin(tx: OrgTx, which: LoginRevocation, now: datetime) -> None:
    """Note that these logins are to be revoked, in the transaction that decides it."""
    await tx.execute(_BEGIN, {**_key(which), "now": now})


async def list_begun(
    tx: FleetTx, *, after: LoginRevocation | None, most: int
) -> Sequence[LoginRevocation]:
    """List revocations that are not finished, by key; a later release's kinds are left to it."""
    start: dict[str, object] = {"org": "", "logins": "", "provider_id": NO_PROVIDER}
    values: dict[str, object] = {**(start if after is None else _key(after)), "most": most}
    values["known"] = [each.value for each in EndedLogins]
    rows = await tx.connection.execute(_LIST, values)
    return [
        LoginRevocation(OrgName(row.org), EndedLogins(row.logins), row.provider_id) for row in rows
    ]


async def lock(tx: FleetTx, which: LoginRevocation, *, wait: bool) -> bool:
    """Lock a revocation for a page; False if it is finished, or locked and not waited for."""
    query = _LOCK_AND_WAIT if wait else _LOCK_FREE
    return (await tx.connection.execute(query, _key(which))).first() is not None


async def end(tx: OrgTx | FleetTx, which: LoginRevocation) -> None:
    """Forget a revocation that is finished or called off."""
    await tx.connection.execute(_END, _key(which))


def _key(which: LoginRevocation) -> dict[str, object]:
    return {"org": which.org, "logins": which.logins.value, "provider_id": which.provider}
