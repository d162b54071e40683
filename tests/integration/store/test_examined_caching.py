"""
Tests that the statements of the result cache examine rows in proportion to their set: 250 and
1,000 cached actions, with 20,000 other actions and 20,000 other entries.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from controlplane.core.caching import CacheRequest, CacheStatus
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch import caching
from controlplane.store.dispatch.caching import Lookup, RootSettings
from shared.model.ids import ActionId
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_action, make_new_run, make_report, make_run_key
from tests.integration.store.conftest import Store
from tests.integration.store.examined import Examined, examining, explain_everything
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
A_ROW = 60
"""Rows that a statement may examine for each action of its set, as in test_examined.py."""

OF_CACHE = {
    "caching._DELETE",
    "caching._FIND_FOR_CHILDREN",
    "caching._FIND_FOR_ROOTS",
    "caching._STORE",
    "caching._TOUCH",
}

OTHER_ENTRIES = """
INSERT INTO cache_entries (org, key, project, domain, output_uri, created_at, hit_at, replaces_before)
    SELECT 'acme', 'other' || n, 'p', 'development', 's3://b/' || n, now(), now(), now()
    FROM generate_series(1, 20000) n
"""


@pytest.fixture(params=["analysed", "never"])
async def measured(
    request: pytest.FixtureRequest,
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> AsyncIterator[tuple[Store, Examined]]:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("actions", "cache_entries", "dispatches", "runs"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    others = await store.create(make_new_run("others"))
    await add_children(store.database, others, OTHERS, ended=OTHERS)
    await owner.execute(OTHER_ENTRIES)
    if request.param == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1)
    with examining(database) as seen:
        yield Store(database, test_database.url), seen
    await database.close()


@pytest.mark.parametrize("size", [250, 1_000])
async def test_statement_on_cached_actions_examines_rows_in_proportion_to_them(
    measured: tuple[Store, Examined], size: int
) -> None:
    store, seen = measured
    requests = [CacheRequest(key=f"k{number}") for number in range(size)]
    run = await store.create(make_new_run("r1"))
    await enqueue_all(store, "first", requests)
    leased = []
    while claimed := await store.claim(size):
        leased += claimed
    await store.report(*(make_report(each, 1, Phase.RUNNING) for each in leased))
    children = [each for each in leased if each.parent is not None]
    assert len(children) == size
    await store.report(*(make_report(each, 2, Phase.SUCCEEDED) for each in children))
    await enqueue_all(store, "second", requests)
    assert (await store.detail(run, f"second{size - 1}")).row.cache_status is CacheStatus.HIT
    await find_touch_and_delete(store.database, requests)

    assert set(seen.rows) >= OF_CACHE, sorted(OF_CACHE - set(seen.rows))
    # A large set may be looked up by reading the table once, which hashes it, but not for each row.
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_CACHE
        if seen.rows[name] > A_ROW * size + 2 * OTHERS
    ]
    assert not too_many, "\n\n".join(too_many)


async def enqueue_all(store: Store, name: str, requests: list[CacheRequest]) -> None:
    await store.enqueue(
        *(
            replace(make_new_action(f"{name}{number}"), cache=each)
            for number, each in enumerate(requests)
        )
    )


async def find_touch_and_delete(database: Database, requests: list[CacheRequest]) -> None:
    """Look the entries up as roots do, record the hits of another day, and delete them."""
    lookups = [
        Lookup(id=ActionId(UUID(int=number)), run=make_run_key("r1"), request=each)
        for number, each in enumerate(requests)
    ]
    settings = RootSettings(scopes=["p/development"], overwrites=False)
    async with database.for_org(ORG) as tx:
        await tx.plan_for(len(lookups))
        found = await caching.find_entries(tx, lookups, NOW, root=settings)
        entries = [found[each.id].entry for each in lookups]
        hits = [(one, each) for one, each in zip(requests, entries, strict=True) if each]
        assert len(hits) == len(requests)
        await caching.touch_entries(tx, hits, NOW + timedelta(days=2))
        await caching.delete_entries(tx, [(one.key, each.output_uri) for one, each in hits])
    async with database.for_org(ORG) as tx:
        gone = await caching.find_entries(tx, lookups, NOW, root=settings)
    assert {each.status for each in gone.values()} == {CacheStatus.MISS}
