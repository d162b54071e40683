"""Tests that the migrations create the schema of tables.py, idempotently and concurrently."""

import asyncio
import os
import re
import secrets
import sys
from collections.abc import Mapping

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from controlplane.store import migrations
from controlplane.store.tables import FLEET_TABLES, metadata
from tests.servers.postgres import DatabaseForTest, PostgresForTests

COLUMNS = """
SELECT format('%s.%s', c.relname, a.attname) AS name,
       format('%s%s default %s', format_type(a.atttypid, a.atttypmod),
              CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
              coalesce(pg_get_expr(d.adbin, d.adrelid), 'none')) AS said
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""
INDEXES = "SELECT indexname AS name, indexdef AS said FROM pg_indexes WHERE schemaname = 'public'"
CONSTRAINTS = """
SELECT format('%s.%s', conrelid::regclass, conname) AS name, pg_get_constraintdef(oid) AS said
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
"""
OPTIONS = """
SELECT relname AS name, reloptions::text AS said FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reloptions IS NOT NULL
"""
NOT_IN_TABLES = re.compile(r"alembic_version|action_events_(other|\d{8})")


async def describe(url: str, query: str) -> Mapping[str, str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(query)
    await connection.close()
    return {row["name"]: row["said"] for row in rows if not NOT_IN_TABLES.search(row["name"])}


async def create_all(url: str) -> None:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


def test_migration_history_is_linear_with_one_head() -> None:
    script = ScriptDirectory.from_config(migrations.config("postgresql://nobody@nowhere/nothing"))
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1
    assert not [revision for revision in script.walk_revisions() if revision.is_merge_point]


def test_migration_file_names_have_date_number_and_kind() -> None:
    script = ScriptDirectory.from_config(migrations.config("postgresql://nobody@nowhere/nothing"))
    for revision in script.walk_revisions():
        name = revision.path.rpartition("/")[2]
        assert re.fullmatch(r"\d{8}_\d\d_(expand|backfill|contract)_\w+\.py", name), name


def test_migrated_schema_has_no_alembic_differences(test_database: DatabaseForTest) -> None:
    command.check(migrations.config(test_database.owner_url))


def test_migrated_schema_equals_the_tables_module(
    postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> None:
    """Compares what Alembic does not: predicates of indexes, defaults, options, checks."""
    with postgres_server.empty() as plain:
        asyncio.run(create_all(plain.owner_url))
        for query in (COLUMNS, INDEXES, CONSTRAINTS, OPTIONS):
            migrated = asyncio.run(describe(test_database.owner_url, query))
            assert migrated == asyncio.run(describe(plain.owner_url, query))
            assert migrated


def test_migration_upgrade_is_idempotent(test_database: DatabaseForTest) -> None:
    migrations.upgrade(test_database.owner_url)
    migrations.upgrade(test_database.owner_url)


UPGRADE = (
    "import os; from controlplane.store import migrations; migrations.upgrade(os.environ['URL'])"
)


async def test_concurrent_migrations_are_serialised(
    empty_database: DatabaseForTest,
) -> None:
    async with asyncio.timeout(90):
        both = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                UPGRADE,
                env={**os.environ, "URL": empty_database.owner_url},
                stderr=asyncio.subprocess.PIPE,
            )
            for _ in range(2)
        ]
        output = [await program.communicate() for program in both]
    assert [program.returncode for program in both] == [0, 0], output
    assert await describe(empty_database.owner_url, INDEXES)


@pytest.mark.parametrize("role", ["volary_app", "volary_fleet"])
async def test_role_may_read_and_write_rows_and_nothing_else(
    test_database: DatabaseForTest, role: str
) -> None:
    owner = await asyncpg.connect(test_database.owner_url)
    granted = await owner.fetch(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = $1 AND table_schema = 'public'",
        role,
    )
    [attributes] = await owner.fetch(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname = $1",
        role,
    )
    owned = await owner.fetchval(
        "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = $1", role
    )
    await owner.close()

    assert not any(attributes.values())
    assert owned == 0
    rights: dict[str, set[str]] = {}
    for row in granted:
        rights.setdefault(row["table_name"], set()).add(row["privilege_type"])
    assert rights.pop("alembic_version") == {"SELECT"}
    assert rights.pop("schema_steps") == {"SELECT"}
    assert rights.pop("control_clock") == {"SELECT", "UPDATE"}
    append_only = {"SELECT"} if role == "volary_fleet" else {"SELECT", "INSERT"}
    assert rights.pop("audit_log") == append_only
    hidden = {table.name for table in FLEET_TABLES} if role == "volary_app" else set()
    visible = {table.name for table in metadata.sorted_tables} - hidden
    visible -= {"control_clock", "audit_log", "schema_steps"}
    assert set(rights) == visible
    assert all(each == {"SELECT", "INSERT", "UPDATE", "DELETE"} for each in rights.values())


@pytest.mark.parametrize("role", ["volary_app", "volary_fleet", "volary_owner"])
async def test_role_can_create_event_partitions_and_nothing_else(
    test_database: DatabaseForTest, role: str
) -> None:
    owner = await asyncpg.connect(test_database.owner_url)
    functions = await owner.fetch(
        "SELECT p.proname, p.prosecdef, p.proconfig, p.prorettype = 'trigger'::regtype AS is_trigger,"
        " has_function_privilege($1, p.oid, 'EXECUTE') AS may FROM pg_proc p"
        " WHERE p.pronamespace = 'public'::regnamespace ORDER BY proname",
        role,
    )
    await owner.close()
    assert [row["proname"] for row in functions] == [
        "add_action_events_days",
        "audit_log_is_append_only",
        "copy_dispatch_priority",
        "drop_action_events_before",
        "record_phase",
    ]
    for function in functions:
        if function["is_trigger"]:
            assert not function["prosecdef"]
            assert function["may"] == (role == "volary_owner")
            continue
        assert function["prosecdef"]
        assert function["proconfig"] == ["search_path=pg_catalog, public"]
        assert function["may"]


async def test_migration_lets_every_login_of_the_application_serve_the_fleet(
    empty_database: DatabaseForTest, postgres_server: PostgresForTests
) -> None:
    superuser = await asyncpg.connect(postgres_server.superuser_url)
    login = f"login_{secrets.token_hex(6)}"
    await superuser.execute(f"CREATE ROLE {login} LOGIN; GRANT volary_app TO {login}")
    try:
        await asyncio.to_thread(migrations.upgrade, empty_database.owner_url)
        [role] = await superuser.fetch(
            "SELECT pg_has_role($1, 'volary_fleet', 'MEMBER') AS member,"
            " pg_has_role($1, 'volary_fleet', 'USAGE') AS inherits",
            login,
        )
        assert role["member"]
        # Postgres 15 uses the login's INHERIT attribute, which only an administrator can set.
        assert not role["inherits"] or superuser.get_server_version().major < 16
    finally:
        await superuser.execute(f"REVOKE volary_app FROM {login}")
        await superuser.execute(f"DROP OWNED BY {login}; DROP ROLE {login}")
        await superuser.close()


async def test_role_without_membership_cannot_drop_event_partitions(
    test_database: DatabaseForTest,
) -> None:
    owner = await asyncpg.connect(test_database.owner_url)
    public = await owner.fetchval(
        "SELECT count(*) FROM pg_proc p, aclexplode(p.proacl) a"
        " WHERE p.pronamespace = 'public'::regnamespace AND a.grantee = 0"
    )
    await owner.close()
    assert public == 0
