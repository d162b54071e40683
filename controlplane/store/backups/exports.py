"""
Reads all rows of one org, in one snapshot, as JSON.

The statements run as the role ``volary_app`` with the org set, so that row-level security shows them
no row of another org. What would let its reader log in, or open a secret, is left out.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Table

from controlplane.store.backups.snapshots import Connection
from controlplane.store.tables import TENANT_TABLES
from shared.model.ids import OrgName

PASSING = frozenset({"idempotent_requests", "relay_replies", "relays"})
"""Tables whose rows live for the length of a call."""

WITHHELD: Mapping[str, Sequence[str]] = {
    "agent_enrolments": ("digest",),
    "api_keys": ("digest",),
    "clusters": ("token_digest",),
    "identity_providers": ("client_secret",),
    "invitations": ("digest",),
    "named_notifications": ("envelope",),
    "secrets": ("envelope",),
}
"""Columns that are left out: digests of credentials, and what is sealed."""

EXPORTED_TABLES: Sequence[Table] = tuple(
    table for table in TENANT_TABLES if table.name not in PASSING
)
_PAGE = 1_000


async def read_rows(connection: Connection, org: OrgName) -> AsyncIterator[tuple[str, str]]:
    """
    Yield (table, row as JSON) of each row of the org, table by table in the order of their keys.

    Bytes are hexadecimal, as Postgres writes them. Within ``snapshots.exported``, which ends the role, too.
    """
    await connection.execute("SET LOCAL ROLE volary_app")
    await connection.execute("SELECT set_config('app.org', $1, true)", org)
    for table in EXPORTED_TABLES:
        keys = ", ".join(f't."{column.name}"' for column in table.primary_key.columns)
        query = (
            f'SELECT (to_jsonb(t) - $2::text[])::text AS row FROM "{table.name}" t'
            f" WHERE t.org = $1 ORDER BY {keys}"
        )
        withheld = list(WITHHELD.get(table.name, ()))
        async for record in connection.cursor(query, org, withheld, prefetch=_PAGE):
            yield table.name, record["row"]


async def read_time(connection: Connection) -> datetime:
    """Return the moment of the transaction's snapshot."""
    now: datetime = await connection.fetchval("SELECT now()")
    return now


async def has_org(connection: Connection, org: OrgName) -> bool:
    return bool(await connection.fetchval("SELECT true FROM orgs WHERE org = $1", org))
