"""Quotas of actions per day: roots and children are refused, and nothing is counted twice."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from controlplane.core.errors import QuotaExceededError
from controlplane.core.quotas import Quota, QuotaUsedUp
from controlplane.store.database import open_database
from controlplane.store.dispatch.admit import Answer, Enqueue, Enqueued
from controlplane.store.dispatch.enqueue import enqueue
from controlplane.store.resources import quotas, run_batches, runs
from controlplane.store.resources.runs import Created
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, RunId
from tests.factories import NOW, ORG, make_new_action, make_new_run
from tests.integration.store.conftest import Store
from tests.integration.store.examined import counting_statements

TOMORROW = NOW + timedelta(hours=12)  # midnight


async def set_quota(store: Store, quota: Quota) -> None:
    async with store.database.for_org(ORG) as tx:
        await quotas.save_quota(tx, quota, NOW)


async def create(store: Store, name: str, now: datetime = NOW) -> None:
    async with store.database.for_org(ORG) as tx:
        created, _ = await runs.create_run(
            tx, RunId(new_uuid(now)), make_new_run(name), by="someone", now=now
        )
    assert created in (Created.CREATED, Created.REPEATED)


async def enqueue_at(store: Store, now: datetime, *names: str) -> list[Answer]:
    async with store.database.for_org(ORG) as tx:
        requests = [Enqueue(ActionId(new_uuid(now)), make_new_action(name)) for name in names]
        return list(await enqueue(tx, requests, now))


async def count_today(store: Store, project: str = "", now: datetime = NOW) -> int:
    async with store.database.for_org(ORG) as tx:
        return (await quotas.find_status(tx, project, now)).actions_today


async def test_run_over_the_quota_of_a_day_is_refused_until_midnight(store: Store) -> None:
    await set_quota(store, Quota(actions_per_day=2))
    await create(store, "r1")
    await create(store, "r2")
    with pytest.raises(QuotaExceededError) as refused:
        await create(store, "r3")
    assert str(refused.value).startswith(
        "the quota of actions per day of org acme is used up: 2 of 2; it frees at 00:00 UTC"
    )
    assert refused.value.retry_after == timedelta(hours=12)
    assert await store.count("runs") == 2
    await create(store, "r1")  # a repeated call creates nothing, and is not refused
    await create(store, "r3", TOMORROW)
    assert (await count_today(store), await count_today(store, now=TOMORROW)) == (2, 1)


async def test_run_over_the_quota_of_its_project_is_refused(store: Store) -> None:
    await set_quota(store, Quota(actions_per_day=100))
    await set_quota(store, Quota(project="p", actions_per_day=1))
    await set_quota(store, Quota(project="another", actions_per_day=1))
    await create(store, "r1")
    with pytest.raises(QuotaExceededError, match="of project p is used up: 1 of 1"):
        await create(store, "r2")
    assert await count_today(store, "p") == 1
    assert await count_today(store, "another") == 0


async def test_child_over_the_quota_is_refused_and_a_repeated_one_is_not(store: Store) -> None:
    await set_quota(store, Quota(actions_per_day=3))
    await store.create(make_new_run())
    await store.claim()
    assert await enqueue_at(store, NOW, "b", "c") == [Enqueued.CREATED] * 2
    assert await enqueue_at(store, NOW, "b", "d") == [Enqueued.REPEATED, QuotaUsedUp("", 3, 3)]
    assert await count_today(store) == 3
    assert await enqueue_at(store, TOMORROW, "d") == [Enqueued.CREATED]


async def test_actions_without_a_quota_are_counted(store: Store) -> None:
    await store.create(make_new_run())
    await store.claim()
    await store.enqueue(make_new_action("b"), make_new_action("c"))
    await store.enqueue(make_new_action("c"))
    assert [await count_today(store), await count_today(store, "p")] == [3, 3]


async def test_triggered_runs_over_the_quota_are_refused(store: Store) -> None:
    await set_quota(store, Quota(actions_per_day=1))

    async def start(*names: str) -> list[Created]:
        batch = [
            run_batches.TriggeredRun(RunId(new_uuid(NOW)), make_new_run(name), "x")
            for name in names
        ]
        async with store.database.for_org(ORG) as tx:
            answers = await run_batches.create_triggered_runs(tx, batch, NOW)
        return [answers[each.id] for each in batch]

    assert await start("r1") == [Created.CREATED]
    assert await start("r2", "r3") == [Created.OVER_QUOTA] * 2
    assert await store.count("runs") == 1


async def test_quota_costs_an_enqueue_no_statement(store: Store) -> None:
    await store.create(make_new_run())
    await store.claim()
    statements: list[int] = []
    for names, limit in ((("b",), 0), (("c",), 1_000), (("d",), 1)):
        await set_quota(store, Quota(actions_per_day=limit))
        with counting_statements(store.database) as executed:
            await enqueue_at(store, NOW, *names)
        statements.append(len(executed))
    assert statements[0] == statements[1]
    assert statements[2] <= statements[0]  # a refused one


async def test_transactions_of_one_org_count_beside_each_other(store: Store) -> None:
    """Two open transactions that have counted do not wait for each other."""
    other = open_database(store.url)
    for name in ("r1", "r2"):
        await store.create(make_new_run(name))
    await store.claim()
    await store.enqueue(make_new_action("a"))  # saves the spec
    async with asyncio.timeout(60), store.database.for_org(ORG) as one, other.for_org(ORG) as two:
        shards = {
            (await tx.connection.execute(text("SELECT pg_backend_pid() % 32"))).scalar()
            for tx in (one, two)
        }
        for tx, run in ((one, "r1"), (two, "r2")) if len(shards) == 2 else ():
            request = Enqueue(ActionId(new_uuid(NOW)), make_new_action("b", run=run))
            assert await enqueue(tx, [request], NOW) == [Enqueued.CREATED]
    await other.close()
    assert await count_today(store) == 3 + (2 if len(shards) == 2 else 0)


async def test_counts_are_deleted_after_two_days(store: Store) -> None:
    await store.create(make_new_run())
    for days, kept in ((1, 2), (2, 0)):
        async with store.database.for_fleet("a test") as tx:
            await quotas.forget_counts(tx, NOW + timedelta(days=days))
        assert await store.count("action_counts") == kept
