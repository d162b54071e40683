"""Tests of the load that metrics show: its values, its series, and the rows that it examines."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from controlplane.core.fleet_load import MOST_ORGS, MOST_POOLS
from controlplane.loops.fleet_load import FleetLoadReader
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch import fleet_load
from controlplane.store.dispatch.fleet_load import read_load
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock
from tests.integration.store.examined import Examined, examining, explain_everything, statements_of
from tests.servers.postgres import DatabaseForTest, PostgresForTests

ORGS = 1_000
_FILL = """
INSERT INTO dispatches (org, action_id, run_id, attempt, queue, pool, priority, enqueued_at,
                        available_at, lease_id, cluster, leased_at, accepted_at, stop_reason)
SELECT 'org' || (n % $1), gen_random_uuid(), gen_random_uuid(), 1, '', 'pool' || (n % 3), 0, $2::timestamptz, $2,
       CASE WHEN n % 4 = 0 THEN gen_random_uuid() END, CASE WHEN n % 4 = 0 THEN 'c' END,
       CASE WHEN n % 4 = 0 THEN $2::timestamptz END, CASE WHEN n % 8 = 0 THEN $2::timestamptz END,
       CASE WHEN n % 16 = 0 THEN 'enough' END
FROM generate_series(1, $3) n
"""


@pytest.fixture
async def owner(test_database: DatabaseForTest) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(test_database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def database(test_database: DatabaseForTest) -> AsyncIterator[Database]:
    database = open_database(test_database.url)
    yield database
    await database.close()


def lines_of(registry: CollectorRegistry) -> list[str]:
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


async def test_fleet_load_of_1000_orgs_has_a_bounded_number_of_series(
    database: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute(_FILL, ORGS, NOW, 12 * ORGS)
    registry = CollectorRegistry()
    before = len(lines_of(CollectorRegistry()))
    await FleetLoadReader(database, FakeClock(NOW + timedelta(minutes=1)), registry).run_once()
    lines = lines_of(registry)
    assert before == 0
    assert len(lines) <= 2 * (MOST_POOLS + 1) + 2 * (MOST_ORGS + 1) + 20
    values = dict(line.rsplit(" ", 1) for line in lines)
    of_orgs = [value for name, value in values.items() if name.startswith("volary_load_org")]
    assert sum(map(float, of_orgs)) == 12 * ORGS
    assert float(values['volary_load_leases{state="unaccepted"}']) == 1.5 * ORGS
    assert float(values['volary_load_leases{state="stopping"}']) == 0.75 * ORGS
    assert float(values['volary_load_oldest_lease_seconds{of="unaccepted"}']) == 60


async def test_fleet_load_of_nothing_is_zero(database: Database) -> None:
    async with database.for_fleet("test") as tx:
        load = await read_load(tx, NOW)
    assert (load.pools, load.orgs, load.connected_clusters) == ([], [], 0)
    assert (load.leases.oldest, load.backlog.oldest_due) == (timedelta(), timedelta())


async def test_fleet_load_shows_no_series_of_a_pool_that_is_empty_again(
    database: Database, owner: asyncpg.Connection
) -> None:
    registry = CollectorRegistry()
    reader = FleetLoadReader(database, FakeClock(NOW), registry)
    await owner.execute(_FILL, 1, NOW, 3)
    await reader.run_once()
    assert registry.get_sample_value(
        "volary_load_pool_waiting_actions", {"org": "org0", "pool": "pool1"}
    )
    await owner.execute("DELETE FROM dispatches")
    await reader.run_once()
    assert not [line for line in lines_of(registry) if "pool1" in line]


async def test_fleet_load_shows_a_transaction_that_waits_for_a_lock(
    database: Database, owner: asyncpg.Connection, test_database: DatabaseForTest
) -> None:
    await owner.execute("INSERT INTO orgs (org, created_at) VALUES ($1, now())", ORG)
    waiting = await asyncpg.connect(test_database.owner_url)
    change = "UPDATE orgs SET created_at = now() WHERE org = $1"
    try:
        async with owner.transaction():
            await owner.execute(change, ORG)
            waiter = waiting.execute(change, ORG)
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                task = tasks.create_task(waiter)
                while True:
                    async with database.for_fleet("test") as tx:
                        load = await read_load(tx, NOW)
                    if load.lock_waiters:
                        break
                task.cancel()
    finally:
        waiting.terminate()
    assert load.lock_waiters == 1


async def test_fleet_load_examines_waiting_rows_once_and_ended_deliveries_never(
    owner: asyncpg.Connection, postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> None:
    rows = 20_000
    await owner.execute(_FILL, ORGS, NOW, rows)
    await owner.execute("ANALYZE")
    await explain_everything(postgres_server.superuser_url, test_database.name)
    database = open_database(test_database.url, pool_size=1)
    seen = Examined(_names=statements_of(fleet_load))
    with examining(database, seen):
        async with database.for_fleet("test") as tx:
            await read_load(tx, NOW)
    await database.close()
    # One probe finds each pool; each of its rows is read and counted.
    pools, waiting = 3 * ORGS, rows * 3 // 4
    assert seen.rows["fleet_load._WAITING"] <= 3 * waiting + 8 * pools, seen.plans
    assert seen.rows["fleet_load._LEASED"] <= 3 * rows
    assert seen.rows["fleet_load._CLUSTERS"] <= 10
    assert seen.rows["fleet_load._BACKLOG"] <= 10
