"""
Tests of what a batch of enqueues costs: round trips of a batch, and rows examined by each step.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.actions import ActionType, NewAction
from controlplane.core.queues import Queue
from controlplane.store.database import Database, OrgTx, open_database
from controlplane.store.dispatch.admit import Admission, Enqueue, Enqueued, admit
from controlplane.store.dispatch.enqueue import classify, dispatch, enqueue, insert
from controlplane.store.resources.queues import save_queue
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId
from tests.factories import NOW, ORG, make_new_action, make_new_run
from tests.integration.store.conftest import Store
from tests.integration.store.examined import (
    Examined,
    counting_statements,
    examining,
    explain_everything,
)
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
SIZES = (250, 1_000)
RUNS = 1_100
"""A table of runs or queues that is as small may be scanned once, for all requests."""

# Statements of a batch, besides BEGIN and COMMIT.
ORG_OF_TX = 1
PLAN = 1  # custom plans, for a batch of LARGE_SET or more
ADMIT = 2  # lock the runs, lock the queues
INSERT = 2  # the specs, the actions
DISPATCH = 1
NOTIFY = 2  # the runs' counters, NOTIFY
CLASSIFY = 1


def requests_of(actions: Sequence[NewAction]) -> list[Enqueue]:
    return [Enqueue(ActionId(new_uuid(NOW)), action) for action in actions]


def children(count: int, *, run: str = "r1", prefix: str = "c", queue: str = "") -> list[Enqueue]:
    return requests_of(
        [
            replace(make_new_action(f"{prefix}{number}", run=run), queue=queue)
            for number in range(count)
        ]
    )


async def count_statements(store: Store, requests: list[Enqueue], expected: Enqueued) -> int:
    """Enqueue a batch, all of whose requests get this answer; return how many statements ran."""
    with counting_statements(store.database) as executed:
        async with store.database.for_org(ORG) as tx:
            answers = await enqueue(tx, requests, NOW, skip_locked=True)
    assert set(answers) == {expected}
    return len(executed)


@pytest.mark.parametrize("size", [2, 200])
async def test_statements_of_a_batch_are_independent_of_its_size(store: Store, size: int) -> None:
    await store.create(make_new_run())
    plan = PLAN if size > 2 else 0
    assert await count_statements(store, children(size), Enqueued.CREATED) == (
        ORG_OF_TX + plan + ADMIT + INSERT + DISPATCH + NOTIFY
    )
    assert await count_statements(store, children(size), Enqueued.REPEATED) == (
        ORG_OF_TX + plan + ADMIT + INSERT + CLASSIFY
    )


async def test_batch_into_limited_queues_counts_each_queue_once(store: Store) -> None:
    await store.create(make_new_run())
    async with store.database.for_org(ORG) as tx:
        for name in ("q0", "q1"):
            await save_queue(tx, Queue(name=name, depth=1_000), NOW)
    batch = [*children(20, queue="q0"), *children(20, prefix="x", queue="q1")]
    assert await count_statements(store, batch, Enqueued.CREATED) == (
        ORG_OF_TX + PLAN + ADMIT + 2 + INSERT + DISPATCH + NOTIFY
    )


async def test_batch_into_a_full_queue_looks_once_for_only_children(store: Store) -> None:
    await store.create(make_new_run())
    async with store.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="q", depth=1), NOW)
    await store.enqueue(replace(make_new_action("first"), queue="q"))
    assert await count_statements(store, children(20, queue="q"), Enqueued.QUEUE_FULL) == (
        ORG_OF_TX + ADMIT + 1 + 1 + CLASSIFY
    )


async def test_batch_into_missing_runs_and_queues_is_refused_without_writing(store: Store) -> None:
    missing_run = children(20, run="missing")
    assert await count_statements(store, missing_run, Enqueued.NO_RUN) == ORG_OF_TX + 1 + 1
    await store.create(make_new_run())
    missing_queue = children(20, queue="missing")
    assert await count_statements(store, missing_queue, Enqueued.NO_QUEUE) == (
        ORG_OF_TX + ADMIT + 1 + CLASSIFY  # whether the queue exists, and is only locked
    )


@pytest.fixture
async def measured(
    store: Store, postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> AsyncIterator[tuple[Database, Examined]]:
    """A database with 20,000 other actions, the runs r0 to r999 and a thousand queues."""
    await explain_everything(postgres_server.superuser_url, test_database.name)
    others = await store.create(make_new_run("others"))
    await add_children(store.database, others, OTHERS, ended=OTHERS // 2)
    owner = await asyncpg.connect(test_database.owner_url)
    await owner.execute(
        "INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base,"
        " created_at, started_at)"
        " SELECT org, md5('r' || n)::uuid, project, domain, 'r' || n, 1, run_spec, run_base,"
        " created_at, started_at FROM runs, generate_series(0, 999) n WHERE run = 'others'"
    )
    await owner.execute(
        "INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change,"
        " created_at, updated_at)"
        " SELECT r.org, r.run_id, r.run_id, 'a0', 1, a.spec, 'i', 4, 1, now(), now()"
        " FROM runs r, actions a WHERE r.run <> 'others' AND a.parent IS NULL"
    )
    await owner.execute(
        "INSERT INTO dispatches (org, action_id, run_id, is_root, attempt, queue, limited,"
        " lease_id, cluster, leased_at, enqueued_at, available_at)"
        " SELECT org, run_id, run_id, true, 1, 'full', true, md5('l' || run)::uuid, 'c1', now(),"
        " now(), now() FROM runs WHERE run <> 'others'"
    )
    await owner.execute(
        "INSERT INTO queues (org, queue, depth, created_at)"
        " SELECT $1, 'q' || n, 0, now() FROM generate_series(0, 999) n"
        " UNION ALL SELECT $1, 'full', 1, now()",
        str(ORG),
    )
    await owner.execute("ANALYZE")
    await owner.close()
    async with store.database.for_org(ORG) as tx:
        await enqueue(tx, children(1, run="r999", prefix="fills", queue="full"), NOW)
    database = open_database(test_database.url, pool_size=1)
    with examining(database) as seen:
        yield database, seen
    await database.close()


def of_runs(size: int, *, prefix: str = "c", queue: str = "q") -> list[Enqueue]:
    """One request for each of ``size`` runs, each into a queue of its own, or into the full one."""
    return requests_of(
        [
            replace(
                make_new_action(f"{prefix}{size}", run=f"r{number}"),
                queue=queue if queue != "q" else f"q{number}",
            )
            for number in range(size)
        ]
    )


async def admit_all(tx: OrgTx, requests: Sequence[Enqueue]) -> Admission:
    await tx.plan_for(len(requests))
    return await admit(tx, requests, NOW, skip_locked=True)


def require_proportional(seen: Examined, names: set[str], *, a_row: int, size: int) -> None:
    """Require that these statements ran, and that each examined at most so many rows a request."""
    assert names <= set(seen.rows), sorted(names - set(seen.rows))
    for name in names:
        assert seen.rows[name] <= a_row * size + RUNS, f"{name}: {seen.plans[name]}"


@pytest.mark.parametrize("size", SIZES)
async def test_admit_examines_rows_of_its_runs_and_queues_only(
    measured: tuple[Database, Examined], size: int
) -> None:
    database, seen = measured
    async with database.for_org(ORG) as tx:
        admission = await admit_all(tx, of_runs(size))
        assert len(admission.admitted) == size
    require_proportional(seen, {"admit._LOCK_FREE_RUNS", "queues._LOCK_FREE"}, a_row=20, size=size)


@pytest.mark.parametrize("size", SIZES)
async def test_admit_of_a_locked_batch_examines_rows_of_its_runs_and_queues_only(
    store: Store, measured: tuple[Database, Examined], size: int
) -> None:
    database, seen = measured
    async with store.database.for_org(ORG) as locking, database.for_org(ORG) as tx:
        await locking.execute(text("SELECT 1 FROM queues FOR UPDATE"))
        admission = await admit_all(tx, of_runs(size))
        assert set(admission.refused.values()) == {Enqueued.BUSY}
    async with store.database.for_org(ORG) as locking, database.for_org(ORG) as tx:
        await locking.execute(text("SELECT 1 FROM runs FOR UPDATE"))
        admission = await admit_all(tx, of_runs(size))
        assert set(admission.refused.values()) == {Enqueued.BUSY}
    require_proportional(seen, {"admit._WHICH_EXIST", "queues._WHICH_EXIST"}, a_row=10, size=size)


@pytest.mark.parametrize("state", ["never analysed", "analysed when small"])
async def test_admit_finds_its_runs_by_name_in_any_state_of_statistics(
    state: str, store: Store, postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> None:
    await store.create(make_new_run("others"))
    owner = await asyncpg.connect(test_database.owner_url)
    await owner.execute("ALTER TABLE runs SET (autovacuum_enabled = false)")
    copy = (
        "INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, queue,"
        " created_at, started_at)"
        " SELECT org, md5('r' || n)::uuid, project, domain, 'r' || n, 1, run_spec, run_base, queue,"
        " created_at, started_at FROM runs, generate_series($1::int, $2::int) n"
        " WHERE run = 'others'"
    )
    await owner.execute(copy, 0, 49)  # autovacuum analyses after fifty
    if state == "analysed when small":
        await owner.execute("VACUUM ANALYZE runs")
    await owner.execute(copy, 50, OTHERS)
    await owner.close()
    await explain_everything(postgres_server.superuser_url, test_database.name)
    database = open_database(test_database.url, pool_size=1)
    names = {"admit._LOCK_RUNS", "admit._LOCK_FREE_RUNS", "admit._WHICH_EXIST"}
    with examining(database) as seen:
        for size in (5, SIZES[1]):
            seen.forget()
            requests = of_runs(size, queue="")
            for skip_locked in (False, True):
                async with database.for_org(ORG) as tx:
                    await tx.plan_for(size)
                    admission = await admit(tx, requests, NOW, skip_locked=skip_locked)
                    assert len(admission.admitted) == size
            async with store.database.for_org(ORG) as locking, database.for_org(ORG) as tx:
                await locking.execute(text("SELECT 1 FROM runs FOR UPDATE"))
                admission = await admit_all(tx, requests)
                assert set(admission.refused.values()) == {Enqueued.BUSY}
            require_proportional(seen, names, a_row=20, size=size)
    await database.close()


@pytest.mark.parametrize("size", SIZES)
async def test_admit_into_a_full_queue_examines_the_parents_only(
    measured: tuple[Database, Examined], size: int
) -> None:
    database, seen = measured
    async with database.for_org(ORG) as tx:
        admission = await admit_all(tx, of_runs(size, queue="full"))
        assert len(admission.admitted) >= size - 1  # one of r999's waits already
    require_proportional(seen, {"admit._ONLY_CHILDREN"}, a_row=20, size=size)


@pytest.mark.parametrize("size", SIZES)
async def test_insert_and_dispatch_examine_rows_of_new_actions_only(
    measured: tuple[Database, Examined], size: int
) -> None:
    database, seen = measured
    async with database.for_org(ORG) as tx:
        admission = await admit_all(tx, of_runs(size))
        inserted = await insert(tx, admission.admitted, admission.counters, NOW)
        assert len(inserted) == size
        assert await dispatch(tx, inserted, NOW) == {""}
    names = {"specs._SAVE", "enqueue._INSERT", "enqueue._DISPATCH"}
    require_proportional(seen, names, a_row=20, size=size)


@pytest.mark.parametrize("size", SIZES)
async def test_classify_examines_rows_of_its_actions_and_parents_only(
    measured: tuple[Database, Examined], size: int
) -> None:
    database, seen = measured
    requests = of_runs(size)
    async with database.for_org(ORG) as tx:
        await tx.plan_for(size)
        assert set(await enqueue(tx, requests, NOW)) == {Enqueued.CREATED}
        admission = await admit_all(tx, requests)
        assert set((await classify(tx, requests, admission)).values()) == {Enqueued.REPEATED}
    require_proportional(seen, {"enqueue._CLASSIFY"}, a_row=10, size=size)


async def test_steps_of_an_empty_batch_run_no_statement(store: Store) -> None:
    await store.create(make_new_run())
    async with store.database.for_org(ORG) as tx:
        admission = await admit_all(tx, children(1))
        with counting_statements(store.database) as executed:
            assert await insert(tx, (), admission.counters, NOW) == ()
            assert await dispatch(tx, (), NOW) == ()
            assert await classify(tx, (), admission) == {}
    assert executed == []


async def test_dispatch_leaves_out_actions_that_no_cluster_runs(store: Store) -> None:
    await store.create(make_new_run())
    requests = requests_of([make_new_action("q", kind=ActionType.CONDITION)])
    async with store.database.for_org(ORG) as tx:
        admission = await admit_all(tx, requests)
        inserted = await insert(tx, admission.admitted, admission.counters, NOW)
        assert len(inserted) == 1
        assert await dispatch(tx, inserted, NOW) == ()
