"""Stores logins of devices: polled by the device, decided by a person, taken once."""

from datetime import datetime, timedelta

from controlplane.core.callers import Subject
from controlplane.core.oauth import (
    LONGEST_POLL_INTERVAL,
    SLOW_DOWN_BY,
    Login,
    PendingDevice,
    PolledDevice,
)
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_COUNT = statement("""
SELECT count(*) AS pending FROM device_codes WHERE peer = :peer AND expires_at > :now
""")
_INSERT = statement("""
INSERT INTO device_codes (
    digest, user_code_digest, client_id, peer, interval_seconds, created_at, expires_at)
VALUES (:digest, :user_code_digest, :client_id, :peer, :interval_seconds, :now, :expires_at)
ON CONFLICT (user_code_digest) DO NOTHING
RETURNING digest
""")
_FIND_PENDING = statement("""
SELECT client_id, peer, created_at FROM device_codes
WHERE user_code_digest = :user_code_digest AND approved IS NULL AND expires_at > :now
""")
_DECIDE = statement("""
UPDATE device_codes SET approved = :approved, org = :org, subject = :subject,
    provider_org = :provider_org
WHERE user_code_digest = :user_code_digest AND approved IS NULL AND expires_at > :now
RETURNING digest
""")
# The lock orders concurrent polls: each sees when the one before it came.
_LOCK = statement("""
SELECT client_id, interval_seconds, polled_at, approved, org, subject, provider_org, expires_at
FROM device_codes WHERE digest = :digest FOR UPDATE
""")
_POLLED = statement("""
UPDATE device_codes SET polled_at = :now, interval_seconds = :interval_seconds
WHERE digest = :digest
""")
_DELETE = statement("DELETE FROM device_codes WHERE digest = :digest")


async def count_pending(tx: FleetTx, peer: str, now: datetime) -> int:
    return int((await tx.connection.execute(_COUNT, {"peer": peer, "now": now})).one().pending)


async def insert_device_code(
    tx: FleetTx,
    *,
    digest: bytes,
    user_code_digest: bytes,
    client_id: str,
    peer: str,
    interval: timedelta,
    expires_at: datetime,
    now: datetime,
) -> bool:
    """Store a device login; False if its user code is in use."""
    values = {
        "digest": digest,
        "user_code_digest": user_code_digest,
        "client_id": client_id,
        "peer": peer,
        "interval_seconds": int(interval.total_seconds()),
        "expires_at": expires_at,
        "now": now,
    }
    return (await tx.connection.execute(_INSERT, values)).first() is not None


async def find_pending(tx: FleetTx, user_code_digest: bytes, now: datetime) -> PendingDevice | None:
    values = {"user_code_digest": user_code_digest, "now": now}
    row = (await tx.connection.execute(_FIND_PENDING, values)).first()
    return None if row is None else PendingDevice(row.client_id, row.peer, row.created_at)


async def decide(
    tx: FleetTx, user_code_digest: bytes, login: Login, now: datetime, *, approved: bool
) -> bool:
    """Record a person's decision; False if there is nothing to decide any more."""
    values = {
        "user_code_digest": user_code_digest,
        "approved": approved,
        "org": login.org,
        "subject": login.subject,
        "provider_org": login.provider_org,
        "now": now,
    }
    return (await tx.connection.execute(_DECIDE, values)).first() is not None


async def poll(tx: FleetTx, digest: bytes, client_id: str, now: datetime) -> PolledDevice | None:
    """
    Record a poll; take the login if it was decided. None: unknown, or taken before.

    A poll that comes too early makes the interval longer. Another client's poll changes nothing.
    """
    row = (await tx.connection.execute(_LOCK, {"digest": digest})).first()
    if row is None:
        return None
    interval = timedelta(seconds=row.interval_seconds)
    too_fast = row.polled_at is not None and now - row.polled_at < interval
    if row.client_id == client_id:
        if row.approved is not None:
            await tx.connection.execute(_DELETE, {"digest": digest})
        else:
            if too_fast:
                interval = min(interval + SLOW_DOWN_BY, LONGEST_POLL_INTERVAL)
            seconds = int(interval.total_seconds())
            await tx.connection.execute(
                _POLLED, {"digest": digest, "now": now, "interval_seconds": seconds}
            )
    login = None
    if row.org is not None:
        login = Login(OrgName(row.org), Subject(row.subject), OrgName(row.provider_org))
    return PolledDevice(
        client_id=row.client_id,
        expires_at=row.expires_at,
        approved=row.approved,
        login=login,
        is_too_fast=too_fast,
    )
