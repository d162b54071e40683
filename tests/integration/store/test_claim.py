"""Tests of claims: round-robin order, priorities, limits and pools."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from controlplane.core.actions import NewAction
from controlplane.core.fair_scheduler import FIRST, LAST, FairScheduler
from controlplane.core.queues import Queue
from controlplane.store.dispatch import claim as claims
from controlplane.store.dispatch.admit import Enqueued
from controlplane.store.dispatch.claim import claim
from controlplane.store.resources.clusters import save_org
from controlplane.store.resources.queues import follow_page, save_queue
from controlplane.store.resources.runs import Created, create_run
from shared.kit.uuids import new_uuid
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName, OrgName, RunId
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
from tests.integration.store.conftest import CLUSTER, Store

FLOOD = 50_000

_FLOOD = text("""
WITH made AS (
    INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, phase,
                         change, created_at, updated_at)
    SELECT :org, gen_random_uuid(), :run_id, 'f' || number, 'a0', :run_id, 1,
           (SELECT spec FROM actions WHERE org = :org AND id = :run_id), '', 1, 1, :now, :now
    FROM generate_series(1, :many) number
    RETURNING id
)
INSERT INTO dispatches (org, action_id, run_id, attempt, limited, enqueued_at, available_at)
SELECT :org, id, CASE WHEN :scattered THEN id ELSE :run_id END, 1, :limited, :now, :available_at
FROM made
""")


def names(assignments: list[Assignment]) -> list[str]:
    return [f"{each.key.run.name}/{each.key.name}" for each in assignments]


def of_queue(queue: str, *new: NewAction) -> list[NewAction]:
    return [replace(each, queue=queue) for each in new]


async def make_queue(store: Store, queue: Queue) -> None:
    async with store.database.for_org(ORG) as tx:
        await save_queue(tx, queue, NOW)
        await follow_page(tx, queue.name, queue.name, past=None)


async def begin(store: Store, name: str, *, queue: str = "", at_once: int = 0) -> RunId:
    """Create a run and lease its root, so that only its other actions wait."""
    run = await store.create(
        replace(make_new_run(name), queue=queue, max_action_concurrency=at_once)
    )
    assert f"{name}/a0" in names(await store.claim(most=1_000))
    return run


async def flood(
    store: Store,
    run: RunId,
    *,
    many: int = FLOOD,
    limited: bool = False,
    scattered: bool = False,
    available_at: datetime = NOW,
) -> None:
    """Add very many waiting actions to a run; ``scattered``: each as if of a run of its own."""
    async with store.database.for_org(ORG) as tx:
        await tx.connection.execute(
            _FLOOD,
            {
                "org": ORG,
                "run_id": run,
                "now": NOW,
                "many": many,
                "limited": limited,
                "scattered": scattered,
                "available_at": available_at,
            },
        )


async def end(store: Store, *assignments: Assignment) -> None:
    await store.report(*(make_report(each, 1, Phase.SUCCEEDED) for each in assignments))


@pytest.mark.parametrize("limited", [False, True])
async def test_claim_serves_a_single_action_beside_a_flood_within_one_claim(
    store: Store, *, limited: bool
) -> None:
    busy = await begin(store, "busy", at_once=FLOOD if limited else 0)
    await flood(store, busy, limited=limited)
    await begin(store, "small", at_once=1 if limited else 0)
    scheduler = FairScheduler()
    assert names(await store.claim(most=1, scheduler=scheduler))[0].startswith("busy/")

    for number in range(5):  # each time a slot becomes free, as in a full cluster
        await store.enqueue(make_new_action(f"n{number}", run="small"))
        leased = [
            *await store.claim(1, scheduler=scheduler),
            *await store.claim(1, scheduler=scheduler),
        ]
        assert f"small/n{number}" in names(leased)
        await end(store, *(each for each in leased if each.key.run.name == "small"))


async def test_claim_is_not_delayed_by_a_flood_in_another_org(store: Store) -> None:
    busy = await begin(store, "busy")
    await flood(store, busy)
    other = OrgName("globex")
    async with store.database.for_org(other) as tx:
        await save_org(tx, NOW)
        await tx.connection.execute(
            text(
                "INSERT INTO projects (org, project, created_at, updated_at)"
                " VALUES (:org, 'p', now(), now())"
            ),
            {"org": other},
        )
        made, _ = await create_run(tx, RunId(new_uuid(NOW)), make_new_run(), by="someone", now=NOW)
        assert made is Created.CREATED
    async with store.database.for_org(other) as tx:
        found = await claim(tx, ClusterName("c1"), "", scheduler=FairScheduler(), most=1, now=NOW)
    assert names(list(found.assignments)) == ["r1/a0"]


async def test_claim_skips_actions_in_backoff(store: Store) -> None:
    await store.create(make_new_run("first", retries=0))
    [root] = await store.claim()
    failure = make_failure(FailureKind.SYSTEM)
    await store.report(make_report(root, 1, Phase.FAILED, failure=failure))  # a second's backoff
    await store.create(make_new_run("second"))
    scheduler = FairScheduler()
    assert names(await store.claim(most=1, scheduler=scheduler)) == ["second/a0"]
    assert await store.claim(most=1, scheduler=scheduler) == []
    later = NOW + timedelta(seconds=1)
    assert names(await store.claim(most=1, scheduler=scheduler, now=later)) == ["first/a0"]


async def test_claim_skips_more_runs_in_backoff_than_a_page(store: Store) -> None:
    run = await begin(store, "first")
    await flood(store, run, many=500, scattered=True, available_at=NOW + timedelta(hours=1))
    await store.enqueue(make_new_action("n", run="first"))
    scheduler = FairScheduler()
    leased: list[Assignment] = []
    for _ in range(6):
        leased += await store.claim(scheduler=scheduler)
    assert names(leased) == ["first/n"]


async def test_claim_that_finds_no_candidate_in_a_round_waits_until_the_first_is_available(
    store: Store,
) -> None:
    run = await begin(store, "first")
    later = NOW + timedelta(hours=1)
    await flood(store, run, many=500, scattered=True, available_at=later)
    scheduler = FairScheduler()
    looks = []
    for _ in range(6):
        async with store.database.for_org(ORG) as tx:
            found = await claim(tx, CLUSTER, "", scheduler=scheduler, most=1, now=NOW)
        looks.append(found.next_at)
    assert looks == [*[NOW] * 5, later]


async def test_claim_leases_higher_priority_first(store: Store) -> None:
    await make_queue(store, Queue(name="urgent", priority=5))
    await make_queue(store, Queue(name="idle", priority=-5))
    await begin(store, "r1")
    await store.enqueue(
        *of_queue("idle", *(make_new_action(f"i{number}") for number in range(5))),
        *(make_new_action(f"n{number}") for number in range(5)),
        *of_queue("urgent", make_new_action("u0"), make_new_action("u1")),
    )
    scheduler = FairScheduler()
    order: list[str] = []
    while leased := await store.claim(most=2, scheduler=scheduler):
        order += sorted(each.key.name[0] for each in leased)
    assert "".join(order) == "uu" + "nnnnn" + "iiiii"


async def test_claim_keeps_the_action_limit_of_a_queue(store: Store) -> None:
    await make_queue(store, Queue(name="narrow", action_concurrency=3))
    await begin(store, "r1")
    await store.enqueue(*of_queue("narrow", *(make_new_action(f"n{n}") for n in range(10))))

    both = await asyncio.gather(*(store.claim(most=5) for _ in range(4)))
    lease_record = [each for claimed in both for each in claimed]
    assert len(lease_record) == 3
    assert await store.claim() == []

    await end(store, lease_record[0])
    assert len(await store.claim()) == 1


async def test_claim_keeps_the_run_limit_of_a_queue(store: Store) -> None:
    await make_queue(store, Queue(name="runs", run_concurrency=2))
    for number in range(5):
        await store.create(replace(make_new_run(f"r{number}"), queue="runs"))
    both = await asyncio.gather(*(store.claim(most=5) for _ in range(4)))
    lease_record = [each for claimed in both for each in claimed]
    assert len(lease_record) == 2

    # Actions enqueued by active runs do not count as runs, and may start.
    [name, *_] = [each.key.run.name for each in lease_record]
    await store.enqueue(*of_queue("runs", make_new_action("n", run=name)))
    assert names(await store.claim()) == [f"{name}/n"]


async def test_claim_keeps_the_action_limit_of_a_run_without_its_root(
    store: Store,
) -> None:
    await begin(store, "r1", at_once=2)
    await store.enqueue(*(make_new_action(f"n{number}") for number in range(6)))
    both = await asyncio.gather(*(store.claim(most=5) for _ in range(4)))
    lease_record = [each for claimed in both for each in claimed]
    assert len(lease_record) == 2
    await end(store, lease_record[0])
    assert len(await store.claim()) == 1


async def test_claim_skips_a_run_at_its_limit(store: Store) -> None:
    await begin(store, "r1", at_once=1)
    await begin(store, "r2", at_once=1)
    for run in ("r1", "r2"):
        await store.enqueue(*(make_new_action(f"n{number}", run=run) for number in range(3)))
    scheduler = FairScheduler()
    first, second = [await store.claim(most=1, scheduler=scheduler) for _ in range(2)]
    assert {each.key.run.name for each in (*first, *second)} == {"r1", "r2"}
    assert await store.claim(most=1, scheduler=scheduler) == []


async def test_claim_skips_a_full_queue(store: Store) -> None:
    await make_queue(store, Queue(name="full", run_concurrency=1))
    for number in range(300):
        await store.create(replace(make_new_run(f"f{number}"), queue="full"))
    assert len(await store.claim(most=10)) == 1
    await store.create(make_new_run("other"))
    assert names(await store.claim(most=1)) == ["other/a0"]


async def test_end_of_a_limited_action_notifies_waiting_sessions(store: Store) -> None:
    await make_queue(store, Queue(name="narrow", action_concurrency=1))
    await begin(store, "r1")
    await store.enqueue(*of_queue("narrow", make_new_action("n0"), make_new_action("n1")))
    [lease_record] = await store.claim()
    async with store.listening() as received:
        await end(store, lease_record)
        assert (await received.get()).work


async def test_enqueue_into_a_full_queue_is_refused_until_an_action_is_leased(
    store: Store,
) -> None:
    await make_queue(store, Queue(name="short", depth=2))
    await begin(store, "r1")
    requests = of_queue("short", *(make_new_action(f"n{number}") for number in range(3)))
    assert await store.enqueue(*requests) == [
        Enqueued.CREATED,
        Enqueued.CREATED,
        Enqueued.QUEUE_FULL,
    ]
    assert await store.enqueue(requests[0], requests[2]) == [Enqueued.REPEATED, Enqueued.QUEUE_FULL]
    assert len(await store.claim(most=1)) == 1
    assert await store.enqueue(requests[2]) == [Enqueued.CREATED]


async def test_claim_serves_a_queue_on_clusters_of_its_pool_only(store: Store) -> None:
    await make_queue(store, Queue(name="gpu", pool="gpus"))
    await begin(store, "r1")
    await store.enqueue(make_new_action("n"), *of_queue("gpu", make_new_action("g")))
    assert names(await store.claim()) == ["r1/n"]
    assert names(await store.claim(pool="gpus")) == ["r1/g"]


async def test_queue_change_of_pool_and_limit_applies_to_waiting_actions(store: Store) -> None:
    await make_queue(store, Queue(name="q"))
    await begin(store, "r1")
    await store.enqueue(*of_queue("q", *(make_new_action(f"n{number}") for number in range(4))))
    assert len(await store.claim(most=1)) == 1
    await make_queue(store, Queue(name="q", pool="gpus", action_concurrency=2))
    assert await store.claim() == []
    assert len(await store.claim(pool="gpus")) == 1  # another one is leased already


async def test_claim_reads_few_rows_of_a_flood(store: Store) -> None:
    await flood(store, await begin(store, "busy"))
    sub_queue = {"limited": [False], "queue": [""], "is_root": [False]}
    candidate = {**sub_queue, "after": [FIRST], "until": [LAST], "priority": 0, "look": 100}
    read = 0
    async with store.database.for_org(ORG) as tx:
        for made, values in (
            (claims._SUB_QUEUES, {"below": 2**15 - 1}),
            (claims._CANDIDATES, candidate),
        ):
            explained = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {made.text}")
            rows = await tx.connection.execute(explained, {"org": ORG, "pool": "", **values})
            plan = rows.scalar_one()[0]["Plan"]
            read += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert read < 100
