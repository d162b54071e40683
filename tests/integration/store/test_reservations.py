"""Reservations of cache keys by serialized actions, in the store."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from controlplane.core.caching import CacheRequest, CacheStatus
from controlplane.core.reason_codes import Reason
from controlplane.core.relations import Relation, RelationType
from controlplane.core.runs import NewRun
from controlplane.feeds.feeds import Feeds
from controlplane.loops.cache_waiters import CacheWaiters
from controlplane.store.dispatch.caching import Lookup
from controlplane.store.dispatch.reservations import Serialized, reserve
from controlplane.store.notify.notifications import listen
from controlplane.usecases.cache_checks import CacheChecks
from shared.blobs.store import open_store
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, ActionName, RunName
from shared.model.phases import Phase
from tests.factories import (
    NOW,
    ORG,
    make_action_key,
    make_new_action,
    make_new_run,
    make_report,
    make_run_key,
)
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import Store
from tests.integration.store.examined import counting_statements
from tests.integration.store.operations import OPERATOR, Operations

SERIALIZED = CacheRequest(key="k", serialize=True)


def make_root(name: str, **more: object) -> NewRun:
    return replace(make_new_run(name), cache=SERIALIZED, **more)  # type: ignore[arg-type]


async def test_root_waits_for_an_equal_root_unless_that_started_its_run(store: Store) -> None:
    await store.create(make_root("r1"))
    assert [each.key.run.name for each in await store.claim()] == ["r1"]
    await store.create(make_root("r2"))
    await store.create(make_root("r3", relation=Relation(RelationType.SPAWN, RunName("r1"))))
    assert [each.key.run.name for each in await store.claim()] == ["r3"]


async def test_action_whose_equal_one_ended_after_its_lookup_gets_the_outputs(store: Store) -> None:
    run = await store.create(make_new_run("r1"))
    await store.enqueue(replace(make_new_action("c1"), cache=SERIALIZED))
    [_, child] = sorted(await store.claim(), key=lambda each: each.key.name)
    await store.report(make_report(child, 1, Phase.SUCCEEDED))
    late = Serialized(
        lookup=Lookup(id=ActionId(new_uuid(NOW)), run=make_run_key("r1"), request=SERIALIZED),
        run=run,
        parent=ActionName("a0"),
        queue="",
    )
    async with store.database.for_org(ORG) as tx:
        reserved = await reserve(tx, [late], NOW)
    assert reserved.hits[late.lookup.id].status is CacheStatus.HIT
    assert not reserved.waiting
    assert await store.count("cache_reservations") == 0


async def test_actions_that_are_not_serialized_cost_no_statement_more(store: Store) -> None:
    await store.create(make_new_run("r1"))
    cached = replace(SERIALIZED, serialize=False)
    counts = []
    for number, cache in enumerate((cached, SERIALIZED)):
        with counting_statements(store.database) as executed:
            await store.enqueue(
                replace(make_new_action(f"c{number}"), cache=replace(cache, key=f"k{number}"))
            )
        counts.append(sum("cache_reservations" in each for each in executed))
    assert counts[0] == 0
    assert counts[1] > 0


async def test_explanation_of_a_waiter_names_the_action_that_it_waits_for(store: Store) -> None:
    await store.create(make_new_run("r1"))
    for name in ("c1", "c2"):
        await store.enqueue(replace(make_new_action(name), cache=SERIALIZED))
    async with Operations.on(store, FakeClock(NOW)) as operations:
        explained = await operations.explanations.action(OPERATOR, make_action_key("c2"))
    assert explained.now.reason is Reason.EQUAL_ACTION
    assert str(make_action_key("c1")) in explained.now.message


async def test_waiter_runs_beside_an_equal_action_that_waits_for_a_limit(
    store: Store, tmp_path: Path
) -> None:
    clock = FakeClock(NOW)
    await store.create(replace(make_new_run("r1"), max_action_concurrency=1))
    await store.create(make_new_run("r2"))
    await store.claim()
    await store.enqueue(make_new_action("busy"))
    await store.claim()  # takes the one slot of r1
    await store.enqueue(replace(make_new_action("c1"), cache=SERIALIZED))
    await store.enqueue(replace(make_new_action("c1", run="r2"), cache=SERIALIZED))
    assert await store.claim() == []
    loop = CacheWaiters(
        store.database,
        Feeds(store.database, partial(listen, store.url)).reservations,
        clock,
        checks=CacheChecks(store.database, open_store(f"file://{tmp_path}"), clock),
        every=timedelta(hours=1),
    )
    assert await loop.run_blocked_once() == 0
    clock.advance(timedelta(seconds=31))
    assert await loop.run_blocked_once() == 1
    claimed = await store.claim(now=clock.now())
    assert [each.key.run.name for each in claimed] == ["r2"]
