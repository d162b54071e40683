"""Tests of tenant isolation without org predicates: row-level security alone must hold."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_DNS, uuid4, uuid5

import asyncpg
import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Table,
    Text,
    Uuid,
    make_url,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError

from controlplane.store.database import Database, open_database
from controlplane.store.tables import FLEET_TABLES, TENANT_TABLES, metadata
from shared.model.ids import OrgName
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OURS, THEIRS = "ours", "theirs"
NAMES = [table.name for table in TENANT_TABLES]
OF_FLEET = {table.name for table in FLEET_TABLES}
OF_STRANGER = {"control_clock", "schema_steps"}
APPEND_ONLY = {"audit_log"}


@dataclass(frozen=True, slots=True)
class Walled:
    """A database with one row of each of two orgs in every tenant table."""

    owner: "asyncpg.Connection[asyncpg.Record]"
    application: "asyncpg.Connection[asyncpg.Record]"

    @asynccontextmanager
    async def as_org(self, org: str | None) -> AsyncIterator[None]:
        """Open a transaction of an org as the application does, and roll it back."""
        transaction = self.application.transaction()
        await transaction.start()
        if org is not None:
            await self.application.execute("SELECT set_config('app.org', $1, true)", org)
        yield
        await transaction.rollback()


@pytest.fixture
async def walled(test_database: DatabaseForTest) -> AsyncIterator[Walled]:
    owner = await asyncpg.connect(test_database.owner_url)
    application = await asyncpg.connect(test_database.url)
    for org in (OURS, THEIRS):
        for table in TENANT_TABLES:
            await owner.execute(insertion(table, org))
    yield Walled(owner, application)
    await application.close()
    await owner.close()


def insertion(table: Table, org: str) -> str:
    columns = [column for column in table.c if not column.nullable and not column.server_default]
    values = [_literal(column, org) for column in columns]
    names = ", ".join(column.name for column in columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join(values)})"  # noqa: S608


def _literal(column: "Column[object]", org: str) -> str:
    if column.name == "org":
        return f"'{org}'"
    if column.name == "cluster":
        return f"'c-of-{org}'"  # foreign keys refer to rows of the same org
    match column.type:
        case Boolean():
            return "false"
        case Float() | Integer():
            return "1"
        case LargeBinary():
            return f"'{uuid4().hex}'"
        case Uuid():
            return f"'{uuid5(NAMESPACE_DNS, org)}'"  # foreign keys refer to rows of the same org
        case Date() | DateTime():
            return "now()"
        case Interval():
            return "'1s'"
        case Text():
            return f"'{uuid4().hex}'"
        case ARRAY():
            return "'{}'"
        case JSONB():
            return "'{}'"
        case other:
            raise AssertionError(f"{column} is of {other}; say here what to put in it")


def test_every_table_is_a_tenant_table_or_a_known_exception() -> None:
    assert {table.name for table in metadata.tables.values()} - set(NAMES) == (
        OF_STRANGER | OF_FLEET
    )
    for table in TENANT_TABLES:
        assert next(iter(table.primary_key.columns)).name == "org", table.name


async def test_row_level_security_is_on_for_every_table_with_an_org(walled: Walled) -> None:
    rows = await walled.owner.fetch(
        "SELECT c.relname, c.relrowsecurity FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org'"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition"
    )
    with_org = {table.name for table in FLEET_TABLES if "org" in table.c}
    assert {row["relname"] for row in rows} == set(NAMES) | with_org
    assert all(row["relrowsecurity"] for row in rows)


async def test_rows_of_another_org_can_neither_be_read_nor_changed(walled: Walled) -> None:
    for table in NAMES:
        async with walled.as_org(OURS):
            seen = await walled.application.fetch(f"SELECT org FROM {table}")  # noqa: S608
            assert [row["org"] for row in seen] == [OURS], table
            if table in APPEND_ONLY:
                continue
            updated = await walled.application.execute(f"UPDATE {table} SET org = org")  # noqa: S608
            assert updated == "UPDATE 1", table
        if table in APPEND_ONLY:
            continue
        async with walled.as_org(OURS):
            deleted = await walled.application.execute(
                f"DELETE FROM {table} WHERE org = '{THEIRS}'"  # noqa: S608
            )
            assert deleted == "DELETE 0", table


async def test_rows_of_another_org_cannot_be_inserted(walled: Walled) -> None:
    for table in TENANT_TABLES:
        async with walled.as_org(OURS):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await walled.application.execute(insertion(table, THEIRS))
        refusal = "permission denied" if table.name in APPEND_ONLY else "row-level security"
        async with walled.as_org(OURS):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match=refusal):
                await walled.application.execute(
                    f"UPDATE {table.name} SET org = '{THEIRS}'"  # noqa: S608
                )


async def test_rows_of_the_audit_log_can_be_neither_changed_nor_removed(walled: Walled) -> None:
    changes = (
        "UPDATE audit_log SET actor = 'another'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    )
    for change in changes:
        for role in ("volary_app", "volary_fleet"):
            async with walled.as_org(OURS):
                await walled.application.execute(f"SET LOCAL ROLE {role}")
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                    await walled.application.execute(change)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="audit_log is append-only"):
            await walled.owner.execute(change)


async def test_transaction_without_an_org_reads_and_writes_nothing(walled: Walled) -> None:
    for table in TENANT_TABLES:
        async with walled.as_org(None):
            assert await walled.application.fetch(f"SELECT 1 FROM {table.name}") == []  # noqa: S608
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await walled.application.execute(insertion(table, ""))


async def test_fleet_tables_cannot_be_read_or_written_by_an_org(walled: Walled) -> None:
    for table in OF_FLEET:
        for statement in (f"SELECT 1 FROM {table}", f"DELETE FROM {table}"):  # noqa: S608
            async with walled.as_org(OURS):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                    await walled.application.execute(statement)


async def test_org_setting_ends_with_its_transaction(walled: Walled) -> None:
    async with walled.as_org(OURS):
        assert await walled.application.fetchval("SELECT count(*) FROM actions") == 1
    assert await walled.application.fetchval("SELECT count(*) FROM actions") == 0


async def test_partitions_cannot_be_read_past_the_policy(walled: Walled) -> None:
    await walled.owner.execute("SELECT add_action_events_days(current_date + 1, 2)")
    partitions = await walled.owner.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'action_events'::regclass"
    )
    assert len(partitions) >= 3
    for partition in partitions:
        async with walled.as_org(OURS):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await walled.application.fetch(f"SELECT * FROM {partition['name']}")  # noqa: S608


ESCAPES = """
    SET ROLE volary_owner
    SET ROLE postgres
    SET SESSION AUTHORIZATION volary_owner
    ALTER TABLE actions DISABLE ROW LEVEL SECURITY
    DROP POLICY actions_of_org ON actions
    CREATE POLICY all_of_it ON actions USING (true)
    ALTER ROLE volary_app BYPASSRLS
    CREATE TABLE public.mine (org text)
    DROP FUNCTION public.drop_action_events_before
    TRUNCATE actions
    UPDATE alembic_version SET version_num = 'none'
"""


async def test_application_role_cannot_bypass_row_level_security(walled: Walled) -> None:
    for escape in ESCAPES.strip().splitlines():
        with pytest.raises(asyncpg.PostgresError) as refused:
            await walled.application.execute(escape)
        assert refused.value.sqlstate == "42501", escape


async def test_turning_row_security_off_is_an_error(walled: Walled) -> None:
    async with walled.as_org(OURS):
        await walled.application.execute("SET LOCAL row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await walled.application.fetch("SELECT * FROM actions")


@pytest.mark.usefixtures("walled")
async def test_login_as_the_owner_is_bound_by_row_level_security(owner_database_url: str) -> None:
    database = open_database(owner_database_url)
    async with database.for_org(OrgName(OURS)) as tx:
        connection = await tx.connection.get_raw_connection()
        driver = connection.driver_connection
        assert driver is not None
        assert await driver.fetchval("SELECT count(*) FROM actions") == 1
        await driver.execute("RESET ROLE")
        assert await driver.fetchval("SELECT count(*) FROM actions") == 1
    await database.close()


@pytest.mark.parametrize("setting", ["app.fleet", "app.is_fleet", "volary.fleet"])
async def test_no_setting_widens_the_rows_of_an_org_transaction(
    walled: Walled, setting: str
) -> None:
    for table in NAMES:
        async with walled.as_org(OURS):
            await walled.application.execute("SELECT set_config($1, 'on', true)", setting)
            seen = await walled.application.fetch(f"SELECT org FROM {table}")  # noqa: S608
            assert [row["org"] for row in seen] == [OURS], table


async def test_policies_of_the_application_compare_the_org_only(walled: Walled) -> None:
    rows = await walled.owner.fetch(
        "SELECT tablename, roles::text[] AS roles, qual, with_check FROM pg_policies"
        " WHERE schemaname = 'public' AND NOT roles::text[] = '{volary_fleet}'"
    )
    assert {row["tablename"] for row in rows} == set(NAMES)
    for row in rows:
        assert row["roles"] == ["volary_app"]
        assert row["qual"] == "((org = current_setting('app.org'::text, true)) IS TRUE)"
        assert row["with_check"] is None  # NULL: the same as USING


async def test_policy_is_a_filter_and_no_index_condition(walled: Walled) -> None:
    """
    The policy is no index condition.

    As one it would mislead the planner: whenever statistics are older than the rows, "all rows
    of this org" is estimated as cheaper than thirty rows by their whole key.
    """
    await walled.application.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    for table in TENANT_TABLES:
        async with walled.as_org(OURS):
            plan = await walled.application.fetchval(
                f"EXPLAIN (FORMAT JSON) SELECT * FROM {table.name}"  # noqa: S608
            )
        assert "current_setting" in plan, table.name
        conditions = list(_index_conditions(json.loads(plan)[0]["Plan"]))
        assert not any("current_setting" in condition for condition in conditions), table.name


async def test_statement_finds_rows_by_its_own_org_before_the_policy_filters_them(
    walled: Walled,
) -> None:
    await walled.application.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    async with walled.as_org(OURS):
        plan = await walled.application.fetchval(
            "EXPLAIN (FORMAT JSON) SELECT * FROM actions WHERE org = $1 AND id = gen_random_uuid()",
            OURS,
        )
    [scan] = [json.loads(plan)[0]["Plan"]]
    assert "org = " in scan["Index Cond"]
    assert "current_setting" not in scan["Index Cond"]
    assert "current_setting" in scan["Filter"]


def _index_conditions(node: Mapping[str, Any]) -> Iterator[str]:
    if "Index Cond" in node:
        yield node["Index Cond"]
    for each in node.get("Plans", ()):
        yield from _index_conditions(each)


async def test_fleet_role_cannot_bypass_row_level_security(walled: Walled) -> None:
    await walled.application.execute("SET ROLE volary_fleet")
    for escape in ESCAPES.strip().splitlines():
        with pytest.raises(asyncpg.PostgresError) as refused:
            await walled.application.execute(escape)
        assert refused.value.sqlstate == "42501", escape


@pytest.mark.usefixtures("walled")
async def test_separate_login_keeps_org_transactions_out_of_the_fleet_role(
    test_database: DatabaseForTest, postgres_server: PostgresForTests
) -> None:
    superuser = await asyncpg.connect(postgres_server.superuser_url)
    suffix = secrets.token_hex(6)
    orgs, fleet = f"orgs_{suffix}", f"fleet_{suffix}"
    for login, role in ((orgs, "volary_app"), (fleet, "volary_fleet")):
        await superuser.execute(
            f"CREATE ROLE {login} LOGIN PASSWORD 'a-test'; GRANT {role} TO {login}"
        )
    database = open_database(
        _logged_in_as(test_database.url, orgs),
        fleet_url=_logged_in_as(test_database.url, fleet),
    )
    try:
        async with database.for_fleet("count what there is") as tx:
            found = (await tx.connection.execute(text("SELECT org FROM actions"))).all()
            assert {row.org for row in found} == {OURS, THEIRS}
        with pytest.raises(DBAPIError, match="permission denied to set role"):
            await _become(database, "volary_fleet")
    finally:
        await database.close()
        await superuser.execute(f"DROP ROLE {orgs}; DROP ROLE {fleet}")
        await superuser.close()


async def _become(database: Database, role: str) -> None:
    async with database.for_org(OrgName(OURS)) as tx:
        await tx.execute(text("SELECT set_config('role', :role, true)"), {"role": role})


def _logged_in_as(url: str, login: str) -> str:
    made = make_url(url).set(username=login, password="a-test")  # noqa: S106
    return made.render_as_string(hide_password=False)


@pytest.mark.usefixtures("walled")
async def test_fleet_transaction_sees_every_org(database_url: str) -> None:
    database = open_database(database_url)
    async with database.for_fleet("count what there is") as tx:
        connection = (await tx.connection.get_raw_connection()).driver_connection
        assert connection is not None
        orgs = await connection.fetch("SELECT org FROM actions ORDER BY org")
    assert [row["org"] for row in orgs] == [OURS, THEIRS]
    await database.close()
