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

from controlplane.core.caching import CacheCheck, CacheRequest, CacheStatus
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch import caching
from controlplane.store.dispatch.cache_waiters import Reservation, hand_over, list_waiters
from controlplane.store.dispatch.caching import Lookup, RootSettings
from controlplane.store.dispatch.reservations import Serialized, reserve
from shared.model.ids import ActionId, DomainName, ProjectName, RunId
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_action, make_new_run, make_report, make_run_key
from tests.integration.store.conftest import Store
from tests.integration.store.examined import Examined, examining, explain_everything
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
A_ROW = 60
"""Rows that a statement may examine for each action of its set, as in test_examined.py."""

EQUAL = Reservation(org=ORG, key="k1", project=ProjectName("p"), domain=DomainName("development"))

OF_CACHE = {
    "caching._DELETE",
    "caching._FIND_FOR_CHILDREN",
    "caching._FIND_FOR_ROOTS",
    "caching._STORE",
    "caching._TOUCH",
}

OTHER_RUNS = """
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, created_at,
                  started_at)
    SELECT 'acme', md5('run' || n)::uuid, 'p', 'development', 'other' || n, 1, '', 'b', now(), now()
    FROM generate_series(1, 20000) n
"""

OTHER_ENTRIES = """
INSERT INTO cache_entries (org, key, project, domain, output_uri, created_at, hit_at, replaces_before)
    SELECT 'acme', 'other' || n, 'p', 'development', 's3://b/' || n, now(), now(), now()
    FROM generate_series(1, 20000) n
"""

OF_RESERVATIONS = {
    "cache_waiters._HIT",
    "cache_waiters._STILL_WAIT",
    "reservations._END",
    "reservations._GIVE_BACK",
    "reservations._LEAVE",
    "reservations._RESERVE",
    "reservations._WAIT",
    "wait_cycles._BELOW_RESERVATIONS",
    "wait_cycles._CYCLES",
}

OTHER_RESERVATIONS = """
INSERT INTO cache_reservations (org, key, project, domain, action_id, run_id, waited, created_at)
    SELECT 'acme', 'other' || n, 'p', 'development', md5('a' || n)::uuid, md5('r' || n)::uuid,
           true, now()
    FROM generate_series(1, 20000) n;
INSERT INTO cache_waiters (org, action_id, run_id, parent_id, key, project, domain, has_outputs,
                           created_at)
    SELECT 'acme', md5('w' || n)::uuid, md5('r' || n)::uuid, md5('p' || n)::uuid, 'other' || n, 'p',
           'development', true, now()
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
    tables = (
        "actions",
        "cache_entries",
        "cache_reservations",
        "cache_waiters",
        "dispatches",
        "runs",
    )
    for table in tables:
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    others = await store.create(make_new_run("others"))
    await add_children(store.database, others, OTHERS, ended=OTHERS)
    await owner.execute(OTHER_RUNS)
    await owner.execute(OTHER_ENTRIES)
    await owner.execute(OTHER_RESERVATIONS)
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

    require_few(seen, OF_CACHE, size)


@pytest.mark.parametrize("size", [250, 1_000])
async def test_statement_on_serialized_actions_examines_rows_in_proportion_to_them(
    measured: tuple[Store, Examined], size: int
) -> None:
    store, seen = measured
    requests = [CacheRequest(key=f"k{number}", serialize=True) for number in range(size)]
    await store.create(make_new_run("r1"))
    await enqueue_all(store, "first", requests)
    await enqueue_all(store, "second", requests, parent="first0")  # one waits for its parent
    leased = []
    while claimed := await store.claim(size):
        leased += claimed
    assert [each.key.name for each in leased if each.parent == "first0"] == ["second0"]
    await enqueue_all(store, "equal", [requests[1]] * size)
    first = [each for each in leased if each.key.name.startswith("first")]
    await store.report(*(make_report(each, 1, Phase.SUCCEEDED) for each in first))
    await let_go_on(store.database, EQUAL, size)
    await reserve_late(store.database, requests)
    require_few(seen, OF_RESERVATIONS, size)


async def let_go_on(database: Database, of: Reservation, waiters: int) -> None:
    """Give the outputs to all waiters of one key, in pages."""
    went_on = 0
    while went_on < waiters:
        async with database.for_org(ORG) as tx:
            page = [(each, CacheCheck(checked_at=NOW)) for each in await list_waiters(tx, of)]
            found = await hand_over(tx, of, page, NOW, skip_locked=True)
        assert found.went_on, f"{went_on} of {waiters} went on"
        went_on += found.went_on
    assert went_on == waiters


async def reserve_late(database: Database, requests: list[CacheRequest]) -> None:
    """Reserve keys that have an entry already, as if it had come after the lookup."""
    late = [
        Serialized(
            lookup=Lookup(id=ActionId(UUID(int=number)), run=make_run_key("r1"), request=each),
            run=RunId(UUID(int=0)),
            parent=None,
            queue="",
        )
        for number, each in enumerate(requests)
        if number == 1 or number > len(requests)
    ]
    async with database.for_org(ORG) as tx:
        reserved = await reserve(tx, late, NOW)
    assert len(reserved.hits) == len(late)


def require_few(seen: Examined, names: set[str], size: int) -> None:
    """Fail for a statement that reads more than its set, or that nothing has run."""
    assert set(seen.rows) >= names, sorted(names - set(seen.rows))
    # A large set may be looked up by reading the table once, which hashes it, but not for each row.
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in names
        if seen.rows[name] > A_ROW * size + 2 * OTHERS
    ]
    assert not too_many, "\n\n".join(too_many)


async def enqueue_all(
    store: Store, name: str, requests: list[CacheRequest], *, parent: str = "a0"
) -> None:
    await store.enqueue(
        *(
            replace(make_new_action(f"{name}{number}", parent=parent), cache=each)
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
