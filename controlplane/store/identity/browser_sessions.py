"""Stores people's browser sessions, by the digest of their cookie, and logins that have begun."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause

from controlplane.core.browser_sessions import MAX_SESSIONS, BrowserSession
from controlplane.core.credentials import CredentialKind
from controlplane.core.identity import User, UserId
from controlplane.store.credentials.revocations import revoke_all
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_INSERT_ATTEMPT = statement("""
INSERT INTO login_attempts (
    digest, browser_digest, org, provider_id, details, peer, created_at, expires_at)
VALUES (:digest, :browser_digest, :org, :provider_id, :details, :peer, :now, :expires_at)
""")
_COUNT_ATTEMPTS = statement("""
SELECT count(*) FROM login_attempts WHERE peer = :peer AND expires_at > :now
""")
_TAKE_ATTEMPT = statement("""
DELETE FROM login_attempts
WHERE digest = :digest AND browser_digest = :browser_digest
RETURNING org, provider_id, details, expires_at
""")
_SESSION = """
SELECT s.session_id, s.org, s.provider_id, s.provider_org, s.email_verified AS provider_verified,
       s.peer, s.browser, s.created_at, s.seen_at, s.expires_at,
       u.user_id, u.email, u.email_verified, u.name
FROM browser_sessions s JOIN users u ON u.user_id = s.user_id
"""
_INSERT = statement("""
INSERT INTO browser_sessions (
    session_id, digest, user_id, org, provider_id, provider_org, email_verified, peer, browser,
    created_at, seen_at, expires_at)
VALUES (:session_id, :digest, :user_id, :org, :provider_id, :provider_org, :email_verified, :peer,
    :browser, :now, :now, :expires_at)
""")
_END_OLDEST = statement("""
DELETE FROM browser_sessions WHERE session_id IN (
    SELECT session_id FROM browser_sessions WHERE user_id = :user_id
    ORDER BY seen_at DESC OFFSET :most
) RETURNING session_id, org
""")
_FIND = statement(f"{_SESSION} WHERE s.digest = :digest")
_LIST = statement(f"""
{_SESSION} WHERE s.user_id = :user_id AND s.expires_at > :now AND s.seen_at > :seen_at
ORDER BY s.created_at DESC LIMIT {MAX_SESSIONS}
""")
_SEEN = statement("""
UPDATE browser_sessions SET seen_at = :now WHERE session_id = :session_id AND seen_at < :now
""")
_CHOOSE = statement("UPDATE browser_sessions SET org = :org WHERE session_id = :session_id")
_END = statement("""
DELETE FROM browser_sessions WHERE session_id = :session_id AND user_id = :user_id
RETURNING session_id, org
""")
_END_OF_PROVIDER = statement("""
DELETE FROM browser_sessions WHERE user_id = :user_id AND provider_id = :provider_id
RETURNING session_id, org
""")
_END_ALL_OF_PROVIDER = statement("""
DELETE FROM browser_sessions WHERE provider_id = :provider_id RETURNING session_id, org
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAttempt:
    org: OrgName
    provider: UUID
    details: bytes  # sealed
    expires_at: datetime


async def insert_attempt(
    tx: FleetTx,
    attempt: TakenAttempt,
    *,
    digest: bytes,
    browser_digest: bytes,
    peer: str,
    now: datetime,
) -> None:
    values = {
        "digest": digest,
        "browser_digest": browser_digest,
        "org": attempt.org,
        "provider_id": attempt.provider,
        "details": attempt.details,
        "peer": peer,
        "now": now,
        "expires_at": attempt.expires_at,
    }
    await tx.connection.execute(_INSERT_ATTEMPT, values)


async def count_attempts(tx: FleetTx, peer: str, now: datetime) -> int:
    """Count the logins that browsers of an address have begun and not ended."""
    found = await tx.connection.execute(_COUNT_ATTEMPTS, {"peer": peer, "now": now})
    return int(found.scalar_one())


async def take_attempt(tx: FleetTx, digest: bytes, browser_digest: bytes) -> TakenAttempt | None:
    """Delete and return a login that this browser has begun; of two at once one gets it."""
    values = {"digest": digest, "browser_digest": browser_digest}
    row = (await tx.connection.execute(_TAKE_ATTEMPT, values)).first()
    if row is None:
        return None
    return TakenAttempt(
        org=OrgName(row.org),
        provider=row.provider_id,
        details=row.details,
        expires_at=row.expires_at,
    )


async def insert_session(tx: FleetTx, session: BrowserSession, digest: bytes) -> None:
    """Insert a session; the person's least recently used ones end if there are too many."""
    values = {
        "session_id": session.id,
        "digest": digest,
        "user_id": session.user.id,
        "org": session.org,
        "provider_id": session.provider,
        "provider_org": session.provider_org,
        "email_verified": session.email_verified,
        "peer": session.peer,
        "browser": session.browser,
        "now": session.created_at,
        "expires_at": session.expires_at,
    }
    await tx.connection.execute(_INSERT, values)
    oldest = {"user_id": session.user.id, "most": MAX_SESSIONS}
    await _end(tx, _END_OLDEST, oldest, session.created_at)


async def find_session(tx: FleetTx, digest: bytes) -> BrowserSession | None:
    row = (await tx.connection.execute(_FIND, {"digest": digest})).first()
    return None if row is None else _parse(row)


async def list_sessions(
    tx: FleetTx, user: UserId, *, seen_after: datetime, now: datetime
) -> Sequence[BrowserSession]:
    """List a person's valid sessions, newest first."""
    values = {"user_id": user, "seen_at": seen_after, "now": now}
    return [_parse(row) for row in await tx.connection.execute(_LIST, values)]


async def save_seen(tx: FleetTx, session: UUID, now: datetime) -> None:
    await tx.connection.execute(_SEEN, {"session_id": session, "now": now})


async def choose_org(tx: FleetTx, session: UUID, org: OrgName) -> None:
    await tx.connection.execute(_CHOOSE, {"session_id": session, "org": org})


async def end_session(tx: FleetTx, session: UUID, user: UserId, now: datetime) -> bool:
    """Delete a session of a person, and end its streams; False if there is none."""
    values = {"session_id": session, "user_id": user}
    return await _end(tx, _END, values, now) > 0


async def end_sessions_at(tx: FleetTx, user: UserId, provider: UUID, now: datetime) -> None:
    """Delete a person's sessions that a login at a provider began."""
    await _end(tx, _END_OF_PROVIDER, {"user_id": user, "provider_id": provider}, now)


async def end_all_sessions_at(tx: FleetTx, provider: UUID, now: datetime) -> None:
    """Delete all sessions that logins at a provider began."""
    await _end(tx, _END_ALL_OF_PROVIDER, {"provider_id": provider}, now)


async def _end(
    tx: FleetTx, deletion: TextClause, values: Mapping[str, object], now: datetime
) -> int:
    """Delete sessions, and revoke them: open streams are the only thing that outlives a row."""
    ended: defaultdict[OrgName, list[str]] = defaultdict(list)
    for row in await tx.connection.execute(deletion, values):
        ended[OrgName(row.org)].append(str(row.session_id))
    for org, sessions in sorted(ended.items()):
        if org:  # without one, a session calls nothing
            await revoke_all(tx, org, CredentialKind.BROWSER_SESSION, sessions, now)
    return sum(len(each) for each in ended.values())


def _parse(row: Any) -> BrowserSession:
    return BrowserSession(
        id=row.session_id,
        user=User(
            id=UserId(row.user_id),
            email=row.email,
            email_verified=row.email_verified,
            name=row.name,
        ),
        org=OrgName(row.org),
        provider=row.provider_id,
        provider_org=OrgName(row.provider_org),
        email_verified=row.provider_verified,
        peer=row.peer,
        browser=row.browser,
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
    )
