"""
Tests of the column ``priority`` of dispatches beside ``urgency``, which the previous release uses.
"""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command

from controlplane.store import migrations
from tests.servers.postgres import DatabaseForTest

BEFORE = "0007"
INSERT = """
INSERT INTO dispatches (org, action_id, run_id, attempt, enqueued_at, available_at{column})
SELECT 'acme', md5($1 || n)::uuid, md5('run')::uuid, 1, now(), now(){value}
FROM generate_series(1, $2) n
"""
VALUES = "SELECT priority, urgency FROM dispatches WHERE action_id = md5($1 || 1)::uuid"


@pytest.fixture
async def database(test_database: DatabaseForTest) -> AsyncIterator[asyncpg.Connection]:
    """A connection in the role of the application, to a migrated database."""
    connection = await asyncpg.connect(test_database.url, server_settings={"role": "volary_app"})
    await connection.execute("SELECT set_config('app.org', 'acme', false)")
    yield connection
    await connection.close()


async def values_of(database: asyncpg.Connection, name: str) -> tuple[int, int]:
    row = await database.fetchrow(VALUES, name)
    assert row is not None
    return row["priority"], row["urgency"]


def previous(urgency: int) -> str:
    return INSERT.format(column=", urgency", value=f", {urgency}")


def present(priority: int) -> str:
    return INSERT.format(column=", priority", value=f", {priority}")


def test_migration_fills_in_the_priority_of_rows_that_exist(
    empty_database: DatabaseForTest,
) -> None:
    config = migrations.config(empty_database.owner_url)
    command.upgrade(config, BEFORE)
    in_database(empty_database.owner_url, previous(-7), "high", 2_500)
    in_database(empty_database.owner_url, previous(0), "usual", 1_500)
    in_database(empty_database.owner_url, previous(3), "low", 1)
    command.upgrade(config, "head")
    rows = in_database(
        empty_database.owner_url,
        "SELECT priority, urgency, count(*) AS n FROM dispatches GROUP BY 1, 2 ORDER BY 1",
    )
    assert [tuple(row) for row in rows] == [(-3, 3, 1), (0, 0, 1_500), (7, -7, 2_500)]


def in_database(url: str, query: str, *values: object) -> list[asyncpg.Record]:
    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    return asyncio.run(fetch())


async def test_rows_of_the_previous_release_get_their_priority(
    database: asyncpg.Connection,
) -> None:
    await database.execute(previous(-5), "a", 1)
    assert await values_of(database, "a") == (5, -5)
    await database.execute("UPDATE dispatches SET urgency = 2")
    assert await values_of(database, "a") == (-2, 2)
    await database.execute("UPDATE dispatches SET urgency = 0")
    assert await values_of(database, "a") == (0, 0)


async def test_rows_of_this_release_get_the_urgency_of_the_previous(
    database: asyncpg.Connection,
) -> None:
    await database.execute(present(5), "a", 1)
    assert await values_of(database, "a") == (5, -5)
    await database.execute("UPDATE dispatches SET priority = -2")
    assert await values_of(database, "a") == (-2, 2)
    await database.execute("UPDATE dispatches SET priority = 0, urgency = urgency")
    assert await values_of(database, "a") == (0, 0)


async def test_row_without_priority_or_urgency_has_the_usual_one(
    database: asyncpg.Connection,
) -> None:
    await database.execute(INSERT.format(column="", value=""), "a", 1)
    assert await values_of(database, "a") == (0, 0)
