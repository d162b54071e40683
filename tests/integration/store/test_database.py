"""Tests of transactions: errors of a slow, locked or unreachable Postgres are translated."""

import asyncio

import asyncpg
import pytest
from asyncpg.prepared_stmt import PreparedStatement
from asyncpg.transaction import Transaction
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from controlplane.core.errors import InvalidError, UnavailableError
from controlplane.store.database import Database, open_database
from controlplane.store.notify.changes import lock_runs
from shared.model.ids import RunId
from tests.factories import ORG, make_new_run
from tests.integration.store.conftest import Store


async def insert_call(database: Database, statement: str) -> object:
    async with database.for_org(ORG) as tx:
        return (await tx.rows(text(statement)))[0][0]


async def test_lock_timeout_is_a_busy_error(store: Store) -> None:
    run = await store.create(make_new_run())
    async with store.database.for_org(ORG) as holder:
        await lock_runs(holder, [run])
        with pytest.raises(UnavailableError, match="try again"):
            await _lock_with_short_timeout(store, run)


async def _lock_with_short_timeout(store: Store, run: RunId) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("SET LOCAL lock_timeout = '20ms'"))
        await lock_runs(tx, [run])


async def test_statement_timeout_is_an_unavailable_error(store: Store) -> None:
    with pytest.raises(UnavailableError, match="try again"):
        await _sleep_with_short_timeout(store)


async def _sleep_with_short_timeout(store: Store) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("SET LOCAL statement_timeout = '20ms'"))
        await tx.execute(text("SELECT pg_sleep(5)"))


@pytest.mark.parametrize("statement", ["SELECT nothing FROM nowhere", "SELECT 1 / 0"])
async def test_wrong_statement_is_not_translated(store: Store, statement: str) -> None:
    with pytest.raises(DBAPIError):
        await insert_call(store.database, statement)


async def test_text_that_postgres_cannot_store_is_an_invalid_error(store: Store) -> None:
    with pytest.raises(InvalidError, match="NUL"):
        await _execute_with_text(store, "text", "a\0b")
    with pytest.raises(InvalidError, match="NUL"):
        await _execute_with_text(store, "jsonb", '{"a": "\\u0000"}')


async def _execute_with_text(store: Store, type_: str, reported: str) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text(f"SELECT CAST(:said AS {type_})"), {"said": reported})


async def test_killed_connection_fails_one_call_only(
    database_url: str, owner_database_url: str
) -> None:
    owner = await asyncpg.connect(owner_database_url)
    database = open_database(database_url, pool_size=1)
    killed = await insert_call(database, "SELECT pg_backend_pid()")
    await owner.execute("SELECT pg_terminate_backend($1)", killed)
    with pytest.raises(UnavailableError):
        await insert_call(database, "SELECT 1")
    assert await insert_call(database, "SELECT 1") == 1
    await database.close()
    await owner.close()


async def test_connection_killed_during_a_statement_is_an_unavailable_error(
    database_url: str, owner_database_url: str
) -> None:
    owner = await asyncpg.connect(owner_database_url)
    database = open_database(database_url, pool_size=1)
    killed = await insert_call(database, "SELECT pg_backend_pid()")
    async with asyncio.TaskGroup() as tasks:
        sleeper = tasks.create_task(_is_unavailable(database, "SELECT pg_sleep(30)"))
        async with asyncio.timeout(60):
            while not await owner.fetchval(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = $1 AND query LIKE '%pg_sleep%' AND state = 'active'",
                killed,
            ):
                pass
        assert await sleeper
    assert await insert_call(database, "SELECT 1") == 1
    await database.close()
    await owner.close()


async def _is_unavailable(database: Database, statement: str) -> bool:
    try:
        await insert_call(database, statement)
    except UnavailableError:
        return True
    return False


async def test_unreachable_server_is_an_unavailable_error(database_url: str) -> None:
    address = database_url.replace("host=", "host=/nowhere") + "&port=1"
    if "host=" not in database_url:
        address = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"
    database = open_database(address)
    with pytest.raises(UnavailableError, match="try again"):
        await database.ping()
    await database.close()


@pytest.mark.parametrize(
    "error", [FileNotFoundError("inputs.pb"), ConnectionResetError("the agent hung up")], ids=str
)
async def test_os_error_of_a_block_is_not_translated(store: Store, error: OSError) -> None:
    with pytest.raises(type(error)) as raised:
        await _fail_inside(store, error)
    assert raised.value is error


async def _fail_inside(store: Store, error: OSError) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("SELECT 1"))
        raise error


async def test_deadline_of_a_block_is_not_translated(store: Store) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), store.database.for_org(ORG) as tx:
            await tx.execute(text("SELECT pg_sleep(5)"))


@pytest.mark.parametrize("step", ["execute", "start", "commit"])
async def test_os_error_of_the_driver_is_an_unavailable_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The network fails during a statement, BEGIN or COMMIT."""

    async def break_off(*_: object, **__: object) -> None:
        raise ConnectionResetError("reset by peer")

    of = PreparedStatement if step == "execute" else Transaction
    monkeypatch.setattr(of, "fetch" if step == "execute" else step, break_off)
    with pytest.raises(UnavailableError, match="cannot be reached; try again"):
        await insert_call(store.database, "SELECT 1")
    monkeypatch.undo()
    assert await insert_call(store.database, "SELECT 1") == 1


async def test_connection_pool_survives_calls_cancelled_at_any_moment(
    database_url: str,
) -> None:
    database = open_database(database_url, pool_size=2)
    loop = asyncio.get_running_loop()
    for steps in range(40):
        calls = [
            loop.create_task(_is_unavailable(database, "SELECT pg_sleep(0.01)")) for _ in range(4)
        ]
        for _ in range(steps):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    async with asyncio.timeout(60):
        assert (
            await asyncio.gather(*(insert_call(database, "SELECT 1") for _ in range(4))) == [1] * 4
        )
    await database.close()
