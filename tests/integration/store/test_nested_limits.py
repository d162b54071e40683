"""
Tests of nested limits: a parent that waits for its children hands its slot over to them, in the
limits of queues and of runs, and the limits are never exceeded.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.pending_reasons import BlockedKind, find
from controlplane.core.queues import Queue
from controlplane.store.dispatch.admit import Enqueued
from controlplane.store.dispatch.pending_reasons import read_use
from shared.model.assignments import Assignment
from shared.model.ids import RunId
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
from tests.integration.store.conftest import Store
from tests.integration.store.test_claim import end, make_queue, names


async def begin(store: Store, name: str, *, queue: str = "", at_once: int = 0) -> RunId:
    return await store.create(
        replace(make_new_run(name), queue=queue, max_action_concurrency=at_once)
    )


async def enqueue(store: Store, *children: str, parent: str = "a0", queue: str = "") -> None:
    """Enqueue children named ``run/action`` below that run's ``parent``."""
    made = []
    for child in children:
        run, _, name = child.partition("/")
        made.append(replace(make_new_action(name, run=run, parent=parent), queue=queue))
    await store.enqueue(*made)


async def claim(store: Store) -> set[str]:
    return set(names(await store.claim(most=100)))


async def test_child_takes_its_parents_slot_in_a_queue(store: Store) -> None:
    await make_queue(store, Queue(name="q", action_concurrency=1))
    await begin(store, "r1", queue="q")
    [root] = await store.claim()
    await begin(store, "r2", queue="q")
    await enqueue(store, "r1/b", "r1/c")
    [child] = await store.claim(most=100)  # neither its sibling nor the other run
    assert child.key.run.name == "r1"
    assert await claim(store) == set()

    await enqueue(store, "r1/leaf", parent=child.key.name)
    [leaf] = await store.claim(most=100)
    assert names([leaf]) == ["r1/leaf"]
    assert await claim(store) == set()
    await end(store, leaf)
    assert await claim(store) == set()  # its parent continues in the same slot
    await end(store, child)
    [sibling] = await store.claim(most=100)
    assert {child.key.name, sibling.key.name} == {"b", "c"}
    await end(store, sibling)
    assert await claim(store) == set()
    await end(store, root)
    assert await claim(store) == {"r2/a0"}


async def test_child_takes_its_parents_slot_in_a_run(store: Store) -> None:
    await begin(store, "r1", at_once=1)
    assert await claim(store) == {"r1/a0"}  # the root is not counted
    await enqueue(store, "r1/b", "r1/c")
    [parent] = await store.claim(most=100)
    await enqueue(store, "r1/leaf", "r1/leaf2", parent=parent.key.name)
    [leaf] = await store.claim(most=100)
    assert leaf.parent == parent.key.name
    assert await claim(store) == set()
    await end(store, leaf)
    [other] = await store.claim(most=100)
    assert {leaf.key.name, other.key.name} == {"leaf", "leaf2"}


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_nested_tasks_of_many_runs_end_without_exceeding_the_limit(
    store: Store, limit: int
) -> None:
    """Three runs, each three tasks deep and two wide, in one queue: a tree waits for its leaves."""
    await make_queue(store, Queue(name="q", action_concurrency=limit))
    for number in range(3):
        await begin(store, f"r{number}", queue="q", at_once=limit)
    scheduler, leased, ended = FairScheduler(), dict[str, Assignment](), 0
    waits_for = dict[str, set[str]]()
    for _ in range(200):
        for new in await store.claim(most=5, scheduler=scheduler):
            [name] = names([new])
            leased[name] = new
            run, _, action = name.partition("/")
            depth = 0 if action == "a0" else action.count("-") + 1
            below = "x" if action == "a0" else f"{action}-"
            children = {f"{run}/{below}{n}" for n in range(2)}
            waits_for[name] = children if depth < 3 else set()
            if waits_for[name]:
                await enqueue(store, *sorted(waits_for[name]), parent=action)
        working = [name for name in leased if not waits_for[name]]
        lease_record = [
            name
            for name in leased
            if not waits_for[name] & leased.keys()  # else a child has its slot
        ]
        assert len(lease_record) <= limit
        for name in working[:1]:
            await end(store, leased.pop(name))
            ended += 1
            for children in waits_for.values():
                children.discard(name)
        if not leased and ended == 3 * 15:
            return
    pytest.fail(f"{ended} of 45 ended; leased are {sorted(leased)}")


async def test_parent_whose_children_are_in_another_queue_takes_no_slot(store: Store) -> None:
    """Otherwise two queues whose parents wait for each other's children would deadlock."""
    for name in ("qa", "qb"):
        await make_queue(store, Queue(name=name, action_concurrency=1))
    await begin(store, "ra", queue="qa")
    await begin(store, "rb", queue="qb")
    assert await claim(store) == {"ra/a0", "rb/a0"}
    await enqueue(store, "ra/b", queue="qb")
    await enqueue(store, "rb/b", queue="qa")
    assert await claim(store) == {"ra/b", "rb/b"}


async def test_child_of_a_full_queue_waits_for_its_runs_limit_too(store: Store) -> None:
    await make_queue(store, Queue(name="q", action_concurrency=1))
    await begin(store, "r1", queue="q", at_once=1)
    assert await claim(store) == {"r1/a0"}
    await enqueue(store, "r1/other", queue="")
    assert await claim(store) == {"r1/other"}  # takes the run's only slot
    await enqueue(store, "r1/b", queue="q")
    assert await claim(store) == set()


async def test_childs_backoff_gives_the_time_when_its_parents_slot_is_claimed(store: Store) -> None:
    await make_queue(store, Queue(name="q", action_concurrency=1))
    await begin(store, "r1", queue="q")
    assert await claim(store) == {"r1/a0"}
    await enqueue(store, "r1/b")
    [child] = await store.claim()
    failed = make_report(child, 1, Phase.FAILED, failure=make_failure(FailureKind.SYSTEM))
    await store.report(failed)
    assert await claim(store) == set()
    [again] = await store.claim(now=NOW + timedelta(minutes=1))
    assert names([again]) == ["r1/b"]


async def test_parent_in_a_full_queue_may_have_one_child_waiting(store: Store) -> None:
    """Otherwise the run that fills the queue waits for the parent, and the parent for the queue."""
    await make_queue(store, Queue(name="q", action_concurrency=1, depth=1))
    await begin(store, "r1", queue="q")
    assert await claim(store) == {"r1/a0"}
    await begin(store, "r2", queue="q")
    children = [make_new_action(name) for name in ("b", "c")]
    assert await store.enqueue(*children) == [Enqueued.QUEUE_FULL, Enqueued.CREATED]
    assert await store.enqueue(*children) == [Enqueued.QUEUE_FULL, Enqueued.REPEATED]
    [child] = await store.claim(most=100)
    assert names([child]) == ["r1/c"]
    assert await store.enqueue(make_new_action("b")) == [Enqueued.CREATED]
    assert await store.enqueue(make_new_action("d", parent="c")) == [Enqueued.CREATED]
    assert await store.enqueue(make_new_action("d", run="r2")) == [Enqueued.QUEUE_FULL]
    assert await claim(store) == {"r1/d"}


async def test_slot_that_passes_to_a_child_counts_once_in_explanations(store: Store) -> None:
    await make_queue(store, Queue(name="q", action_concurrency=2))
    await begin(store, "r1", queue="q")
    run = await begin(store, "r2", queue="", at_once=2)
    assert await claim(store) == {"r1/a0", "r2/a0"}
    await enqueue(store, "r1/b", "r2/b")
    assert await claim(store) == {"r1/b", "r2/b"}
    await enqueue(store, "r1/c", parent="b")
    await enqueue(store, "r2/c", parent="b")
    assert await claim(store) == {"r1/c", "r2/c"}
    async with store.database.for_org(ORG) as tx:
        use = await read_use(tx, [str(run)])
    assert [queue.leased for queue in use.queues] == [1]
    assert use.runs == []  # lists those at their limit
    assert not {queue.kind for queue in find(use)} & {BlockedKind.QUEUE, BlockedKind.RUN}
