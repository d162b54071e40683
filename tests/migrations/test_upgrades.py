"""``volary db``: upgrades that wait, go on, and refuse; and replicas that refuse a schema."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from controlplane.core.addresses import Addresses
from controlplane.core.errors import UnfitDatabaseError
from controlplane.store import migrations
from controlplane.store.checks import require_fit
from controlplane.store.migrations import checks
from controlplane.store.migrations.locks import find_locks
from controlplane.store.migrations.steps import schema_of_release, steps_of_release
from controlplane.store.replicas import LISTENER, name_listener
from tests.migrations.revisions import CREATE_TABLE, add_revisions
from tests.migrations.test_running import WAITING, connected, holds
from tests.running import until
from tests.servers.postgres import DatabaseForTest

DROP = 'op.execute("ALTER TABLE relays DROP COLUMN request")'
WAIT = 'op.execute("SET LOCAL lock_timeout = 0"); op.execute("SELECT pg_advisory_xact_lock(7)")'
BLOCKED = """
SELECT EXISTS (
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE locktype = 'advisory' AND objid = 7 AND NOT granted AND d.datname = current_database()
)
"""
# The last revision that creates an index concurrently, and the one before it.
INDEXED, BEFORE = "0053", "0052"


async def upgrade(
    database: DatabaseForTest, directory: Path, *steps: str, requires: str = ""
) -> list[str]:
    """Run revisions after those of the product as `volary db upgrade` would; return its lines."""
    config = migrations.config(database.owner_url)
    add_revisions(config, directory, *steps, requires=requires)
    lines: list[str] = []
    await asyncio.to_thread(migrations.run, config, "head", report=lines.append)
    return lines


async def volary(database: DatabaseForTest, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane.cli", "db", *arguments),
        env={**os.environ, "VOLARY_OWNER_DATABASE_URL": database.owner_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def output(program: asyncio.subprocess.Process) -> str:
    return (await program.communicate())[0].decode()


@asynccontextmanager
async def replica(database: DatabaseForTest, name: str) -> AsyncIterator[int]:
    """Connect as the listener of a replica does; yields the process at the server."""
    connection = await asyncpg.connect(database.url, server_settings={"application_name": name})
    try:
        yield connection.get_server_pid()
    finally:
        await connection.close()


async def is_gone(watcher: asyncpg.Connection, pid: int) -> bool:
    query = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
    return bool(await watcher.fetchval(query, pid))


async def require_served(database: DatabaseForTest) -> None:
    await require_fit(Addresses(orgs=database.url, fleet=database.url, direct=database.url))


async def test_upgrade_refuses_a_contract_step_while_an_older_replica_is_connected(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    ours = name_listener(schema_of_release(), "1.2.3")
    async with replica(test_database, LISTENER) as old, replica(test_database, ours) as current:
        with pytest.raises(UnfitDatabaseError) as refused:
            await upgrade(test_database, tmp_path, CREATE_TABLE, DROP, requires=schema_of_release())
        assert str(refused.value).startswith("nothing was changed: step test_1 (contract: ")
        assert f"pid {old}" in str(refused.value)
        assert f"pid {current}" not in str(refused.value)
        async with connected(test_database) as owner:
            at = await owner.fetchval("SELECT version_num FROM alembic_version")
            assert at == schema_of_release()
            await owner.execute("SELECT pg_terminate_backend($1)", old)
            await until(lambda: is_gone(owner, old), "the old replica is gone")
        [_, _, dropped] = await upgrade(
            test_database, tmp_path, CREATE_TABLE, DROP, requires=schema_of_release()
        )
        assert dropped.startswith("  test_1 (contract: ")


async def test_contract_step_is_rolled_back_if_an_older_replica_connects_while_it_runs(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    async with connected(test_database) as holder, asyncio.TaskGroup() as tasks:
        await holder.execute("SELECT pg_advisory_lock(7)")
        refused = tasks.create_task(refusal(test_database, tmp_path))
        await until(lambda: holds(holder, BLOCKED), "the step waits for the lock")
        async with replica(test_database, LISTENER) as old:
            await holder.execute("SELECT pg_advisory_unlock(7)")
            assert f"pid {old}" in await refused
        assert await holder.fetchval("SELECT version_num FROM alembic_version") == "test_0"


async def refusal(database: DatabaseForTest, directory: Path) -> str:
    """Run a contract step that waits for a lock of the test; return why it was refused."""
    ours = schema_of_release()
    with pytest.raises(UnfitDatabaseError, match="those before it are kept: step test_1") as raised:
        await upgrade(database, directory, CREATE_TABLE, WAIT, requires=ours)
    return str(raised.value)


async def test_release_serves_on_a_schema_that_is_newer_by_expand_steps(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    await upgrade(test_database, tmp_path, CREATE_TABLE)
    await require_served(test_database)

    program = await volary(test_database, "upgrade")
    assert "newer than" in await output(program)
    assert program.returncode == 0


async def test_release_refuses_a_schema_whose_contract_step_requires_a_newer_release(
    test_database: DatabaseForTest, tmp_path: Path
) -> None:
    await upgrade(test_database, tmp_path, CREATE_TABLE, DROP, requires="test_0")
    with pytest.raises(UnfitDatabaseError, match="whose schema is test_0 or newer"):
        await require_served(test_database)

    for command in ("upgrade", "check"):
        program = await volary(test_database, command)
        printed = await output(program)
        assert "start a release whose schema is test_0 or newer" in printed
        assert "Traceback" not in printed
        assert program.returncode == 1


async def test_release_refuses_an_older_schema_until_it_is_upgraded(
    empty_database: DatabaseForTest, tmp_path: Path
) -> None:
    await asyncio.to_thread(migrations.upgrade, empty_database.owner_url, BEFORE)
    with pytest.raises(UnfitDatabaseError, match="run `volary db upgrade` of this release"):
        await require_served(empty_database)
    program = await volary(empty_database, "check")
    assert f"Pending       {INDEXED} (expand: actions cached index)" in await output(program)
    assert program.returncode == 1

    serving = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane.cli", "controlplane", "serve"),
        env={
            **os.environ,
            "VOLARY_DATABASE_URL": empty_database.url,
            "VOLARY_BLOB_BASE": tmp_path.as_uri(),
            "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = await output(serving)
    assert serving.returncode == 1
    assert "run `volary db upgrade` of this release" in printed
    assert "Traceback" not in printed

    await asyncio.to_thread(migrations.upgrade, empty_database.owner_url)
    await require_served(empty_database)
    history = await volary(empty_database, "history")
    assert f"{schema_of_release()}  " in await output(history)
    past = await checks.read_history(empty_database.owner_url)
    assert past[-1].revision == schema_of_release()
    assert past[-1].started_at <= past[-1].ended_at
    checked = await volary(empty_database, "check")
    assert "Pending       nothing" in await output(checked)
    assert checked.returncode == 0


async def test_killed_upgrade_leaves_an_index_that_check_names_and_the_next_one_replaces(
    empty_database: DatabaseForTest,
) -> None:
    await asyncio.to_thread(migrations.upgrade, empty_database.owner_url, BEFORE)
    async with connected(empty_database) as writer, connected(empty_database) as watcher:
        async with writer.transaction():
            await writer.execute("LOCK actions IN ROW EXCLUSIVE MODE")
            killed = await volary(empty_database, "upgrade")
            await until(lambda: holds(watcher, WAITING), "the index waits for the transaction")
            waiting = await volary(empty_database, "upgrade")
            assert waiting.stdout is not None
            line = (await waiting.stdout.readline()).decode()
            assert line.startswith("Another upgrade is running (pid ")
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
            # Its statement is the server's: it goes on until the server notices.
            await watcher.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index"
            )
            found = await checks.check(
                empty_database.owner_url, migrations.config(empty_database.owner_url)
            )
            assert [each for each in found.problems if "REINDEX INDEX CONCURRENTLY" in each]
        printed = await output(waiting)
        assert waiting.returncode == 0, printed
        assert printed.endswith("The schema is up to date.\n")
        assert not await watcher.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid")


def test_locks_of_a_step_are_those_of_tables_that_it_did_not_create() -> None:
    step = steps_of_release()[0]
    sql = """
    CREATE TABLE made (x int); ALTER TABLE made ADD y int; -- ALTER TABLE runs
    ALTER TABLE ONLY runs ADD COLUMN x int;
    CREATE INDEX CONCURRENTLY runs_x ON runs (x);
    CREATE UNIQUE INDEX tasks_x ON tasks (x);
    ALTER TABLE actions VALIDATE CONSTRAINT c;
    DO $$ BEGIN UPDATE specs SET x = 1; END $$;
    CREATE POLICY p ON queues USING (true);
    DROP TABLE IF EXISTS clusters; DELETE FROM orgs;
    """
    assert [(lock.table, lock.mode.partition(":")[0]) for lock in find_locks(step, sql)] == [
        ("runs", "ACCESS EXCLUSIVE"),
        ("runs", "SHARE UPDATE EXCLUSIVE"),
        ("tasks", "SHARE"),
        ("actions", "SHARE UPDATE EXCLUSIVE"),
        ("queues", "ACCESS EXCLUSIVE"),
        ("clusters", "ACCESS EXCLUSIVE"),
        ("orgs", "ROW EXCLUSIVE"),
    ]
