"""Reads what a copy of the database holds, in the snapshot that pg_dump copies."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg
from alembic.script import ScriptDirectory

from controlplane.core.backups import BackupError
from controlplane.store import migrations

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relpersistence = 'p' ORDER BY c.relname
"""
_FOREIGN_TABLE = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY c.relname LIMIT 1
"""
_BUCKETS = """
SELECT DISTINCT left(run_base, position('/' || org || '/' || project || '/' IN run_base) - 1) AS base
FROM runs WHERE position('/' || org || '/' || project || '/' IN run_base) > 1 ORDER BY base
"""
_KEYRINGS = """
SELECT keyring FROM secrets WHERE keyring NOT IN ('', 'clusters')
UNION SELECT keyring FROM named_notifications WHERE keyring <> '' ORDER BY keyring
"""
_SEALED = """
SELECT EXISTS (SELECT FROM signing_keys) OR EXISTS (SELECT FROM agent_authorities)
    OR EXISTS (SELECT FROM identity_providers WHERE client_secret IS NOT NULL)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Contents of one snapshot of the database."""

    taken_at: datetime
    schema: str
    rows: Mapping[str, int]
    buckets: Sequence[str]
    keyrings: Sequence[str]
    sealing_key: bool


def newest_schema() -> str:
    """Return the schema revision of this release."""
    head = ScriptDirectory.from_config(migrations.config("postgresql://")).get_current_head()
    return head or ""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect as the database's owner for the length of a block; BackupError."""
    try:
        connection = await asyncpg.connect(
            url, timeout=10, server_settings={"application_name": "volary-backup"}
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        raise BackupError(
            f"cannot connect to the database ({str(error) or type(error).__name__}); check "
            "VOLARY_OWNER_DATABASE_URL, the address of the user who owns it"
        ) from error
    try:
        yield connection
    except asyncpg.PostgresError as error:
        raise BackupError(f"the database refused a statement: {error}") from error
    finally:
        await connection.close(timeout=10)


def major_version(connection: Connection) -> int:
    return int(connection.get_server_version().major)


@asynccontextmanager
async def exported(connection: Connection) -> AsyncIterator[str]:
    """Hold a snapshot for the length of a block; yields its name, for pg_dump."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield str(await connection.fetchval("SELECT pg_export_snapshot()"))


async def read_contents(connection: Connection) -> Contents:
    """Count the rows of every table and find what they need; within ``exported``."""
    await connection.execute("SET LOCAL row_security = off")  # an error, rather than a part
    schema = await _read_schema(connection)
    return Contents(
        taken_at=await connection.fetchval("SELECT now()"),
        schema=schema,
        rows=await count_rows(connection),
        buckets=[row["base"] for row in await connection.fetch(_BUCKETS)],
        keyrings=[row["keyring"] for row in await connection.fetch(_KEYRINGS)],
        sealing_key=bool(await connection.fetchval(_SEALED)),
    )


async def require_schema(connection: Connection) -> None:
    """Raise BackupError unless the database has the schema of this release."""
    found, own = await _read_schema(connection), newest_schema()
    if found != own:
        raise BackupError(
            f"the database has schema revision {found}, and this release {own}; use the release that"
            " served from it, or run `volary controlplane migrate`"
        )


async def _read_schema(connection: Connection) -> str:
    try:
        return str(await connection.fetchval("SELECT version_num FROM public.alembic_version"))
    except asyncpg.UndefinedTableError as error:
        raise BackupError(
            "the database has no schema of Volary; check VOLARY_OWNER_DATABASE_URL"
        ) from error


async def count_rows(connection: Connection) -> Mapping[str, int]:
    names = [row["relname"] for row in await connection.fetch(_TABLES)]
    return {name: await connection.fetchval(f'SELECT count(*) FROM "{name}"') for name in names}


async def require_empty(connection: Connection) -> None:
    """Raise BackupError if the database has a table: a restore replaces nothing."""
    table = await connection.fetchval(_FOREIGN_TABLE)
    if table is not None:
        name = await connection.fetchval("SELECT current_database()")
        raise BackupError(
            f"database {name} is not empty: it has {table}, and a restore replaces nothing; create "
            f"another database (CREATE DATABASE …) and name it in VOLARY_OWNER_DATABASE_URL"
        )
