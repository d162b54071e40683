"""Stores the certificate authorities of agents; their private keys are sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from controlplane.store.database import FleetTx
from controlplane.store.notify.changes import notify_signing_keys
from controlplane.store.statements import statement

_LOCK = statement("SELECT pg_advisory_xact_lock(hashtextextended('volary agent authorities', 0))")
_LIST = statement("""
SELECT authority_id, certificate, private_key, active_from, expires_at FROM agent_authorities
WHERE expires_at > :now ORDER BY active_from, authority_id
""")
_INSERT = statement("""
INSERT INTO agent_authorities
    (authority_id, certificate, private_key, created_at, active_from, expires_at)
VALUES (:id, :certificate, :private_key, :now, :active_at, :expires_at)
""")
_WITHDRAW = statement("""
UPDATE agent_authorities SET expires_at = :now WHERE authority_id <> :id AND expires_at > :now
""")
_SEAL_AGAIN = statement("""
UPDATE agent_authorities SET private_key = :private_key
WHERE authority_id = :id AND private_key = :before
""")
_DELETE = statement("DELETE FROM agent_authorities WHERE expires_at < :now")


@dataclass(frozen=True, slots=True)
class StoredAuthority:
    """A row; ``private_key`` is sealed."""

    id: UUID
    certificate: str
    private_key: bytes
    active_from: datetime
    expires_at: datetime


async def lock_authorities(tx: FleetTx) -> None:
    """Let no other transaction add authorities until this one has ended."""
    await tx.connection.execute(_LOCK)


async def list_authorities(tx: FleetTx, now: datetime) -> Sequence[StoredAuthority]:
    """List the authorities that have not expired, by the time from which they sign."""
    rows = await tx.connection.execute(_LIST, {"now": now})
    return [
        StoredAuthority(
            row.authority_id, row.certificate, row.private_key, row.active_from, row.expires_at
        )
        for row in rows
    ]


async def insert_authority(tx: FleetTx, authority: StoredAuthority, now: datetime) -> None:
    """Add an authority, and notify every replica to trust it."""
    await tx.connection.execute(
        _INSERT,
        {
            "id": authority.id,
            "certificate": authority.certificate,
            "private_key": authority.private_key,
            "active_at": authority.active_from,
            "expires_at": authority.expires_at,
            "now": now,
        },
    )
    await notify_signing_keys(tx)


async def withdraw_others(tx: FleetTx, authority: UUID, now: datetime) -> None:
    """Trust no other authority from now on."""
    await tx.connection.execute(_WITHDRAW, {"id": authority, "now": now})
    await notify_signing_keys(tx)


async def seal_again(tx: FleetTx, authority: UUID, before: bytes, private_key: bytes) -> None:
    """Replace a sealed private key, if it is still the one that was read before."""
    values = {"id": authority, "before": before, "private_key": private_key}
    await tx.connection.execute(_SEAL_AGAIN, values)


async def delete_expired_authorities(tx: FleetTx, now: datetime) -> int:
    """Delete authorities whose last certificate has expired; return how many."""
    return (await tx.connection.execute(_DELETE, {"now": now})).rowcount
