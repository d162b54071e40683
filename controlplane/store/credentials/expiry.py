"""Deletes rows of credentials that have expired, in pages, skipping rows that are locked."""

from collections.abc import Sequence
from datetime import datetime

from controlplane.core.browser_sessions import IDLE
from controlplane.core.oauth import GRACE, LOGIN_LIVES, USED_TOKENS_KEPT
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement

PAGE = 1_000
_FAMILIES = 20  # with up to a thousand refresh tokens each


def _delete(table: str, key: str, condition: str, page: int = PAGE) -> str:
    return f"""
    WITH expired AS MATERIALIZED (
        SELECT {key} FROM {table} WHERE {condition} ORDER BY {key} LIMIT {page}
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM {table} t USING expired e WHERE t.{key} = e.{key}
    """


_DELETIONS = [
    statement(_delete("authorization_codes", "digest", "expires_at < :now")),
    statement(_delete("device_codes", "digest", "expires_at < :now")),
    # Their refresh tokens go with them.
    statement(_delete("token_families", "family_id", "expires_at < :now", _FAMILIES)),
    statement(_delete("refresh_tokens", "digest", "used_at < :used_at")),
    statement(_delete("login_attempts", "digest", "expires_at < :now")),
    statement(_delete("browser_sessions", "session_id", "expires_at < :now")),
    statement(_delete("browser_sessions", "session_id", "seen_at < :idle_at")),
    statement(f"""
    WITH expired AS MATERIALIZED (
        SELECT user_id, provider_id FROM provider_logins WHERE seen_at < :inactive_at
        ORDER BY user_id, provider_id LIMIT {PAGE} FOR UPDATE SKIP LOCKED
    )
    DELETE FROM provider_logins t USING expired e
    WHERE t.user_id = e.user_id AND t.provider_id = e.provider_id
    """),
]
_FORGET_SUCCESSORS = statement(f"""
WITH past AS MATERIALIZED (
    SELECT digest FROM refresh_tokens
    WHERE used_at < :replaced_at AND successor IS NOT NULL ORDER BY digest LIMIT {PAGE}
    FOR UPDATE SKIP LOCKED
)
UPDATE refresh_tokens t SET successor = NULL FROM past p WHERE t.digest = p.digest
""")


async def delete_expired(tx: FleetTx, now: datetime) -> Sequence[int]:
    """Delete a page of each kind, and successors past their grace; return how many of each."""
    values = {
        "now": now,
        "used_at": now - USED_TOKENS_KEPT,
        "replaced_at": now - GRACE,
        "idle_at": now - IDLE,
        "inactive_at": now - LOGIN_LIVES,
    }
    counts: list[int] = []
    for each in (*_DELETIONS, _FORGET_SUCCESSORS):
        names = set(each.compile().params)
        used = {name: value for name, value in values.items() if name in names}
        counts.append((await tx.connection.execute(each, used)).rowcount)
    return counts
