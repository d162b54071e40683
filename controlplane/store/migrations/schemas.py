"""Reads which schema a database has, and its history."""

from collections.abc import Mapping

import asyncpg

from controlplane.core.schema_steps import DatabaseSchema

FIND_TABLES = """
SELECT to_regclass('public.alembic_version') IS NOT NULL AS migrated,
       to_regclass('public.schema_steps') IS NOT NULL AS recorded
"""
SELECT_REVISION = "SELECT coalesce(max(version_num), '') AS revision FROM public.alembic_version"
SELECT_RECORDED = """
SELECT (SELECT coalesce(max(version_num), '') FROM public.alembic_version) AS revision,
       (SELECT coalesce(max(requires COLLATE "C"), '') FROM public.schema_steps) AS requires,
       coalesce((SELECT release FROM public.schema_steps
                 ORDER BY revision COLLATE "C" DESC LIMIT 1), '') AS release
"""
RECORD_STEP = """
INSERT INTO public.schema_steps (revision, kind, subject, requires, release, started_at, ended_at)
VALUES (:revision, :kind, :subject, :requires, :release, :started_at, clock_timestamp())
ON CONFLICT (revision) DO UPDATE SET release = EXCLUDED.release, requires = EXCLUDED.requires,
    started_at = EXCLUDED.started_at, ended_at = EXCLUDED.ended_at
RETURNING ended_at
"""
FORGET_STEP = "DELETE FROM public.schema_steps WHERE revision = :revision"
SELECT_HISTORY = """
SELECT revision, kind, subject, release, started_at, ended_at FROM public.schema_steps
ORDER BY revision COLLATE "C"
"""


def select_schema(*, migrated: bool, recorded: bool) -> str:
    """Return the statement for the tables that FIND_TABLES found; "": there is no schema."""
    if not migrated:
        return ""
    return SELECT_RECORDED if recorded else SELECT_REVISION


def parse_schema(row: Mapping[str, object] | None) -> DatabaseSchema:
    """Read the row of ``select_schema``; None: there is no schema."""
    return DatabaseSchema(**{"revision": "", **(row or {})})  # type: ignore[arg-type]


async def read_schema(connection: "asyncpg.Connection[asyncpg.Record]") -> DatabaseSchema:
    """Read the schema by the driver itself, as a role that may do no more than that."""
    tables = await connection.fetchrow(FIND_TABLES)
    assert tables is not None  # noqa: S101  # a SELECT without FROM has one row
    statement = select_schema(**tables)
    row = await connection.fetchrow(statement) if statement else None
    return parse_schema(None if row is None else {**row})
