"""How revisions run: a transaction each, or outside of one, one program at a time."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from sqlalchemy.exc import DBAPIError

from controlplane.store import migrations
from tests.migrations.revisions import CREATE_INDEX, CREATE_TABLE, FAIL, add_revisions
from tests.running import until
from tests.servers.postgres import DatabaseForTest

INDEX = """
SELECT pg_get_indexdef(indexrelid) AS definition, indisvalid FROM pg_index
WHERE indexrelid = to_regclass('runs_by_test')
"""
WAITING = """
SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'
"""
# Between two tries for the lock, the last statement of a program is the commit of its first try.
TRYING = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND (query LIKE '%advisory_lock%' OR state = 'idle' AND query LIKE 'COMMIT%')
"""
UPGRADE = """
import sys
from pathlib import Path

from alembic import command

from controlplane.store import migrations
from tests.migrations.revisions import CREATE_INDEX, add_revisions

config = migrations.config(sys.argv[1])
add_revisions(config, Path(sys.argv[2]), CREATE_INDEX)
command.upgrade(config, "head")
"""


@asynccontextmanager
async def connected(database: DatabaseForTest) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_url)
    try:
        yield connection
    finally:
        await connection.close()


async def upgrade(database: DatabaseForTest, directory: Path, *steps: str) -> None:
    config = migrations.config(database.owner_url)
    add_revisions(config, directory, *steps)
    await asyncio.to_thread(command.upgrade, config, "head")


@asynccontextmanager
async def started(
    database: DatabaseForTest, directory: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program that creates the index; kill it at the end, if it has not ended."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UPGRADE, database.owner_url, str(directory)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
            await program.communicate()


async def holds(watcher: asyncpg.Connection, query: str) -> bool:
    return bool(await watcher.fetchval(query))


async def test_migration_can_create_an_index_concurrently(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    await upgrade(test_database, tmp_path, CREATE_TABLE, CREATE_INDEX, "pass")

    async with connected(test_database) as owner:
        [index] = await owner.fetch(INDEX)
        assert index["indisvalid"]
        assert await owner.fetchval("SELECT version_num FROM alembic_version") == "test_2"


async def test_concurrent_index_waits_for_open_transactions_and_blocks_no_writer(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    async with (
        connected(test_database) as writer,
        connected(test_database) as watcher,
        asyncio.TaskGroup() as tasks,
    ):
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("LOCK runs IN ROW EXCLUSIVE MODE")
        migrating = tasks.create_task(upgrade(test_database, tmp_path, CREATE_INDEX))

        await until(lambda: holds(watcher, WAITING), "the index waits for the transaction")
        await watcher.execute("LOCK runs IN ROW EXCLUSIVE MODE NOWAIT; UPDATE runs SET org = org")
        assert not migrating.done()
        await transaction.commit()
        await migrating
        [index] = await watcher.fetch(INDEX)
        assert index["indisvalid"]


async def test_program_that_waits_to_migrate_does_not_hold_up_a_concurrent_index(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    async with connected(test_database) as writer, connected(test_database) as watcher:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("LOCK runs IN ROW EXCLUSIVE MODE")
        async with started(test_database, tmp_path) as first:
            await until(lambda: holds(watcher, WAITING), "the index waits for the transaction")
            async with started(test_database, tmp_path) as second:
                await until(lambda: holds(watcher, TRYING), "the other program waits for the first")
                await transaction.commit()
                output = [await program.communicate() for program in (first, second)]
                assert [program.returncode for program in (first, second)] == [0, 0], output


async def test_half_built_index_of_a_failed_migration_is_replaced(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    async with connected(test_database) as owner:
        await owner.execute("CREATE INDEX runs_by_test ON runs (org)")
        await upgrade(test_database, tmp_path, CREATE_INDEX)
        [index] = await owner.fetch(INDEX)
    assert index["definition"].endswith("(org, project)")


async def test_failed_migration_leaves_those_before_it(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    with pytest.raises(DBAPIError, match="division by zero"):
        await upgrade(test_database, tmp_path, CREATE_TABLE, FAIL)

    async with connected(test_database) as owner:
        assert await owner.fetchval("SELECT version_num FROM alembic_version") == "test_0"
        assert await owner.fetchval("SELECT count(*) FROM first_of_test") == 0
