"""Tests of the store behind a transaction pooler: a real pgbouncer."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.addresses import Addresses
from controlplane.store.checks import find_problems, require_fit
from controlplane.store.database import Database, open_database
from controlplane.store.notify.changes import notify_own_work
from controlplane.store.notify.notifications import listen
from controlplane.store.resources.clusters import list_orgs, save_org
from shared.model.ids import OrgName
from tests.factories import NOW
from tests.integration.store.round_trips import counting
from tests.servers.pgbouncer import SERVER_CONNECTIONS, PooledPostgres

CLIENTS = 10 * SERVER_CONNECTIONS
"""More than the pooler's server connections, so that all of these are shared."""


def ways(postgres: PooledPostgres) -> Addresses:
    pooler = postgres.pooler_url
    return Addresses(orgs=pooler, fleet=pooler, direct=postgres.direct_url)


@pytest.fixture
async def database(pooled_postgres: PooledPostgres) -> AsyncIterator[Database]:
    made = open_database(
        pooled_postgres.pooler_url, pool_size=CLIENTS, fleet_pool_size=CLIENTS, pooled=True
    )
    yield made
    await made.close()


async def test_transactions_of_many_orgs_share_connections_and_see_only_their_own(
    database: Database,
) -> None:
    orgs = [OrgName(f"org-{number}") for number in range(CLIENTS)]

    async def work(org: OrgName) -> None:
        async with database.for_org(org) as tx:
            await save_org(tx, NOW)
        for _ in range(10):
            async with database.for_org(org) as tx:
                found = await tx.rows(text("SELECT org, :given AS given FROM orgs"), {"given": org})
                assert [(row.org, row.given) for row in found] == [(org, org)]
            async with database.for_fleet("a test") as fleet:
                assert {*orgs[:1], org} <= {*await list_orgs(fleet), *orgs[:1]}

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(org) for org in orgs))
    async with database.for_fleet("a test") as fleet:
        assert set(orgs) <= set(await list_orgs(fleet))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("role", "volary_app"),
        ("statement_timeout", "20s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("jit", "off"),
        ("timezone", "UTC"),
    ],
)
async def test_settings_hold_in_a_transaction_and_reach_no_other_client(
    database: Database, pooled_postgres: PooledPostgres, setting: str, value: str
) -> None:
    async with database.for_org(OrgName("acme")) as tx:
        [row] = await tx.rows(text("SELECT current_setting(:name) AS value"), {"name": setting})
        assert row.value == value
    stranger = await asyncpg.connect(pooled_postgres.pooler_url, statement_cache_size=0)
    direct = await asyncpg.connect(pooled_postgres.direct_url)
    try:
        async with stranger.transaction():
            left = await stranger.fetchval("SELECT current_setting($1)", setting)
            org = await stranger.fetchval("SELECT current_setting('app.org', true)")
        assert left == await direct.fetchval("SELECT current_setting($1)", setting)
        assert not org
    finally:
        await stranger.close()
        await direct.close()


async def test_no_statement_stays_prepared_at_the_server(database: Database) -> None:
    for _ in range(3 * SERVER_CONNECTIONS):
        async with database.for_org(OrgName("acme")) as tx:
            [row] = await tx.rows(text("SELECT count(*) AS n FROM pg_prepared_statements"))
            assert row.n == 0


async def test_notification_of_a_pooled_transaction_reaches_the_direct_listener(
    database: Database, pooled_postgres: PooledPostgres
) -> None:
    notifications = listen(pooled_postgres.direct_url)
    async with asyncio.timeout(60):
        assert await anext(notifications) is None  # it listens now
        async with database.for_org(OrgName("acme")) as tx:
            await notify_own_work(tx)
        received = await anext(notifications)
    await notifications.aclose()
    assert received is not None
    assert received.org == "acme"


async def test_check_of_a_pooler_with_a_direct_address_finds_no_problems(
    pooled_postgres: PooledPostgres,
) -> None:
    await require_fit(ways(pooled_postgres))
    assert await find_problems(ways(pooled_postgres)) == []


async def test_check_names_an_address_that_refuses_start_up_parameters(
    pooled_postgres: PooledPostgres,
) -> None:
    url = pooled_postgres.pooler_url
    problems = await find_problems(Addresses(orgs=url, fleet=url, direct=url))
    assert problems
    assert problems[0].startswith("VOLARY_DATABASE_URL: ")
    assert "set VOLARY_DIRECT_DATABASE_URL to the address of Postgres itself" in problems[0]


async def test_check_names_a_direct_address_that_leads_to_a_pooler(
    pooled_postgres: PooledPostgres,
) -> None:
    """Both addresses are poolers': LISTEN is accepted there, but no notification arrives."""
    [problem] = await find_problems(
        Addresses(
            orgs=pooled_postgres.pooler_url,
            fleet=pooled_postgres.pooler_url,
            direct=pooled_postgres.careless_url,
        )
    )
    assert problem.startswith("VOLARY_DIRECT_DATABASE_URL: a notification")


async def test_check_names_a_pooler_that_ignores_start_up_parameters(
    pooled_postgres: PooledPostgres,
) -> None:
    """Statements would run in the user's own role: row-level security would not separate orgs."""
    url = pooled_postgres.careless_url
    problems = await find_problems(Addresses(orgs=url, fleet=url, direct=url))
    assert problems
    assert "set VOLARY_DIRECT_DATABASE_URL to the address of Postgres itself" in problems[0]


async def _count(url: str, *, pooled: bool, fleet: bool) -> int:
    """Count the round trips of a transaction with two statements, on a warm connection."""
    queue = urlsplit(url)
    assert queue.hostname is not None
    assert queue.port is not None
    async with counting(queue.hostname, queue.port, url) as trips:
        database = open_database(trips.url, pool_size=1, fleet_pool_size=1, pooled=pooled)
        try:
            before = 0
            for _ in range(3):
                before = trips.count
                if fleet:
                    async with database.for_fleet("a test") as across:
                        await across.connection.execute(text("SELECT 1"))
                        await across.connection.execute(text("SELECT 2"))
                else:
                    async with database.for_org(OrgName("acme")) as tx:
                        await tx.execute(text("SELECT 1"))
                        await tx.execute(text("SELECT 2"))
            return trips.count - before
        finally:
            await database.close()


async def test_transaction_takes_no_extra_round_trips(pooled_postgres: PooledPostgres) -> None:
    """BEGIN, the org, two statements, COMMIT; a pooler only adds preparing the statements."""
    direct, pooler = pooled_postgres.direct_url, pooled_postgres.pooler_url
    assert await _count(direct, pooled=False, fleet=False) == 5
    assert await _count(direct, pooled=False, fleet=True) == 4
    assert await _count(pooler, pooled=True, fleet=False) == 5 + 3
    assert await _count(pooler, pooled=True, fleet=True) == 5 + 3
