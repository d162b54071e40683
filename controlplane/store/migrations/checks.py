"""Checks before an upgrade: what is pending, what it locks, and what is wrong already."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from alembic.config import Config
from sqlalchemy import make_url

from controlplane.core.schema_steps import (
    DatabaseSchema,
    Replica,
    Step,
    find_mismatch,
    find_unsafe_step,
    pending_steps,
)
from controlplane.store.migrations import locks, schemas
from controlplane.store.migrations.steps import release, steps_of_release
from controlplane.store.replicas import SELECT_REPLICAS, parse_replicas

_SELECT_INVALID_INDEXES = """
SELECT indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT indisvalid AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
# An estimate of the planner's; -1: never analysed. Partitions count for their table.
_SELECT_SIZES = """
SELECT c.relname AS table, greatest(0, sum(coalesce(p.reltuples, c.reltuples)))::bigint AS rows
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhparent = c.oid LEFT JOIN pg_class p ON p.oid = i.inhrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
GROUP BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Check:
    """
    The state of a database for this release.

    ``locks`` are with the estimated number of rows of their tables. ``problems`` are sentences
    with a remedy: this release may not serve, or an index is broken. ``unsafe`` says which
    contract step cannot run yet; "" if all can.
    """

    release: str
    schema: str  # of this release
    database: DatabaseSchema
    pending: Sequence[Step]
    locks: Sequence[tuple[locks.Lock, int]]
    replicas: Sequence[Replica]
    problems: Sequence[str]
    unsafe: str


@dataclass(frozen=True, slots=True)
class PastStep:
    """A step that was run, by which release and when."""

    revision: str
    kind: str
    subject: str
    release: str
    started_at: datetime
    ended_at: datetime


async def check(url: str, config: Config) -> Check:
    """Check the database at ``url``; changes nothing."""
    steps, ours = steps_of_release(), release()
    async with _connected(url) as connection:
        database = await schemas.read_schema(connection)
        replicas = parse_replicas(
            [(row["name"], row["address"]) for row in await connection.fetch(SELECT_REPLICAS)]
        )
        invalid = [row["name"] for row in await connection.fetch(_SELECT_INVALID_INDEXES)]
        sizes = {row["table"]: row["rows"] for row in await connection.fetch(_SELECT_SIZES)}
    pending = pending_steps(steps, database.revision)
    problems = [
        f"index {name} is invalid, so that no query uses it: an upgrade that was stopped left it; "
        f"run `volary db upgrade` if a step is pending, else REINDEX INDEX CONCURRENTLY {name}"
        for name in invalid
    ]
    mismatch = find_mismatch(steps, database, release=ours)
    return Check(
        release=ours,
        schema=steps[-1].revision,
        database=database,
        pending=pending,
        locks=_find_locks(config, database.revision, pending, sizes),
        replicas=replicas,
        problems=[*problems, *([mismatch] if mismatch else [])],
        unsafe=find_unsafe_step(pending, replicas),
    )


async def read_revision(url: str) -> str:
    """Return the revision of the database; "": it has no schema."""
    async with _connected(url) as connection:
        return (await schemas.read_schema(connection)).revision


async def read_history(url: str) -> Sequence[PastStep]:
    """Return the steps that were recorded, the first one first."""
    async with _connected(url) as connection:
        tables = await connection.fetchrow(schemas.FIND_TABLES)
        if tables is None or not tables["recorded"]:
            return []
        return [PastStep(**row) for row in await connection.fetch(schemas.SELECT_HISTORY)]


def _find_locks(
    config: Config, before: str, pending: Sequence[Step], sizes: dict[str, int]
) -> Sequence[tuple[locks.Lock, int]]:
    found: list[tuple[locks.Lock, int]] = []
    if not before:
        return found  # there is no table yet
    for step in pending:
        sql = locks.write_sql(config, before, step.revision)
        found += [(each, sizes.get(each.table, 0)) for each in locks.find_locks(step, sql)]
        before = step.revision
    return found


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=60, statement_cache_size=0)
    try:
        yield connection
    finally:
        connection.terminate()
