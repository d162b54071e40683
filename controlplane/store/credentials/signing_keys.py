"""Stores the keys that sign access tokens; their private halves are sealed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.store.database import FleetTx
from controlplane.store.notify.changes import notify_signing_keys
from controlplane.store.statements import statement

_LOCK = statement("SELECT pg_advisory_xact_lock(hashtextextended('volary signing keys', 0))")
_LIST = statement("""
SELECT kid, private_key, active_from, expires_at FROM signing_keys
WHERE expires_at IS NULL OR expires_at > :now ORDER BY active_from
""")
_INSERT = statement("""
INSERT INTO signing_keys (kid, algorithm, private_key, public_jwk, created_at, active_from)
VALUES (:kid, :algorithm, :private_key, CAST(:public_jwk AS jsonb), :now, :active_at)
""")
_EXPIRE = statement("""
UPDATE signing_keys SET expires_at = :expires_at WHERE kid <> :kid AND expires_at IS NULL
""")
_WITHDRAW = statement("""
UPDATE signing_keys SET expires_at = :now
WHERE kid <> :kid AND (expires_at IS NULL OR expires_at > :now)
""")
_SEAL_AGAIN = statement("""
UPDATE signing_keys SET private_key = :private_key WHERE kid = :kid AND private_key = :before
""")
_DELETE = statement("DELETE FROM signing_keys WHERE expires_at < :now")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row; ``private_key`` is sealed."""

    kid: str
    private_key: bytes
    active_from: datetime
    expires_at: datetime | None


async def lock_keys(tx: FleetTx) -> None:
    """Let no other transaction add keys until this one has ended."""
    await tx.connection.execute(_LOCK)


async def list_keys(tx: FleetTx, now: datetime) -> Sequence[StoredKey]:
    """List the keys that have not expired, by the time from which they sign."""
    rows = await tx.connection.execute(_LIST, {"now": now})
    return [StoredKey(row.kid, row.private_key, row.active_from, row.expires_at) for row in rows]


async def insert_key(
    tx: FleetTx,
    key: StoredKey,
    *,
    algorithm: str,
    public_jwk: Mapping[str, Any],
    others_expire_at: datetime,
    now: datetime,
) -> None:
    """Add a key; keys without a successor expire at ``others_expire_at``."""
    values = {
        "kid": key.kid,
        "algorithm": algorithm,
        "private_key": key.private_key,
        "public_jwk": json.dumps(public_jwk),
        "now": now,
        "active_at": key.active_from,
    }
    await tx.connection.execute(_INSERT, values)
    await tx.connection.execute(_EXPIRE, {"kid": key.kid, "expires_at": others_expire_at})
    await notify_signing_keys(tx)


async def withdraw_others(tx: FleetTx, kid: str, now: datetime) -> None:
    """End every other key at once: tokens that they signed are refused."""
    await tx.connection.execute(_WITHDRAW, {"kid": kid, "now": now})
    await notify_signing_keys(tx)


async def seal_again(tx: FleetTx, kid: str, before: bytes, private_key: bytes) -> None:
    """Replace a sealed private key, if it is still the one that was read before."""
    values = {"kid": kid, "before": before, "private_key": private_key}
    await tx.connection.execute(_SEAL_AGAIN, values)


async def delete_expired_keys(tx: FleetTx, now: datetime) -> int:
    """Delete keys whose last token has expired; return how many."""
    return (await tx.connection.execute(_DELETE, {"now": now})).rowcount
