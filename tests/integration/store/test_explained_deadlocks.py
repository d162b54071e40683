"""Tests that explanations name limits which wait for each other, or for runs that they hold up."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from controlplane.core.explanations import Explanation
from controlplane.core.queues import QueueChange
from controlplane.core.reason_codes import Reason
from controlplane.core.relations import Relation, RelationType
from controlplane.core.runs import NewRun
from shared.model.ids import RunName
from tests.factories import NOW, make_action_key, make_new_action, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import Store
from tests.integration.store.operations import OPERATOR, Operations


@pytest.fixture
async def operations(store: Store) -> AsyncIterator[Operations]:
    async with Operations.on(store, FakeClock(NOW)) as operations:
        yield operations


async def explain(operations: Operations, name: str = "a0", *, run: str = "r1") -> Explanation:
    key = make_action_key(name, run=run)
    return (await operations.explanations.action(OPERATOR, key)).now


def run_in(queue: str, name: str, *, spawned_by: str = "") -> NewRun:
    return replace(
        make_new_run(name),
        queue=queue,
        relation=Relation(RelationType.SPAWN, RunName(spawned_by)) if spawned_by else None,
    )


async def test_explanation_names_a_deadlock_of_limits(
    operations: Operations,
) -> None:
    """
    Two limits deadlock each other.

    The queue's only slot is reserved for child z of the root, which needs the run's only slot;
    that is reserved for child y of x, which needs the queue's slot.
    """
    store = operations.store
    agent = await operations.connect()
    await operations.queues.set(OPERATOR, "q", QueueChange(action_concurrency=1))
    await operations.queues.set(OPERATOR, "other", QueueChange(priority=0))
    await store.create(replace(make_new_run(), queue="q", max_action_concurrency=1))
    assert len(await agent.take()) == 1
    await store.enqueue(replace(make_new_action("x"), queue="other"))
    assert len(await agent.take()) == 1
    await store.enqueue(replace(make_new_action("z"), queue="q"))
    assert (await explain(operations, "z")).reason is not Reason.DEADLOCK
    await store.enqueue(replace(make_new_action("y", parent="x"), queue="q"))
    assert await agent.take() == []
    for name in ("z", "y"):
        why = await explain(operations, name)
        assert why.reason is Reason.DEADLOCK
        assert "queue q and run r1" in why.message
        assert "volary queue set q --action-concurrency" in why.message

    await operations.queues.set(OPERATOR, "q", QueueChange(action_concurrency=2))
    [went] = await agent.take()
    assert went.key.name == "y"
    assert (await explain(operations, "z")).reason is not Reason.DEADLOCK


@pytest.mark.parametrize(
    ("of_one", "of_two", "option"),
    [
        (QueueChange(run_concurrency=1), QueueChange(run_concurrency=2), "run"),
        (QueueChange(action_concurrency=1), QueueChange(action_concurrency=2), "action"),
    ],
    ids=["runs", "actions"],
)
async def test_explanation_names_a_run_that_waits_for_the_slot_of_the_run_that_started_it(
    operations: Operations, of_one: QueueChange, of_two: QueueChange, option: str
) -> None:
    agent = await operations.connect()
    await operations.queues.set(OPERATOR, "q", of_one)
    await operations.store.create(run_in("q", "parent"))
    assert len(await agent.take()) == 1
    await operations.store.create(run_in("q", "stranger"))
    assert (await explain(operations, run="stranger")).reason is Reason.QUEUE_LIMIT

    await operations.store.create(run_in("q", "spawned", spawned_by="parent"))
    assert await agent.take() == []
    for waiting in ("spawned", "stranger"):
        why = await explain(operations, run=waiting)
        assert why.reason is Reason.DEADLOCK
        assert "run parent started spawned" in why.message
        assert f"volary queue set q --{option}-concurrency N" in why.message

    await operations.queues.set(OPERATOR, "q", of_two)
    assert (await explain(operations, run="spawned")).reason is not Reason.DEADLOCK


async def test_explanation_follows_spawned_runs_through_other_queues(
    operations: Operations,
) -> None:
    agent = await operations.connect()
    await operations.queues.set(OPERATOR, "q", QueueChange(run_concurrency=1))
    await operations.store.create(run_in("q", "first"))
    await operations.store.create(run_in("", "second", spawned_by="first"))
    assert len(await agent.take()) == 2
    await operations.store.create(run_in("q", "third", spawned_by="second"))
    why = await explain(operations, run="third")
    assert why.reason is Reason.DEADLOCK
    assert "run first started third" in why.message


async def test_explanation_of_a_full_queue_is_its_limit_while_one_slot_may_be_freed(
    operations: Operations,
) -> None:
    agent = await operations.connect()
    await operations.queues.set(OPERATOR, "q", QueueChange(run_concurrency=2))
    await operations.store.create(run_in("q", "parent"))
    await operations.store.create(run_in("q", "other"))
    assert len(await agent.take()) == 2
    await operations.store.create(run_in("q", "spawned", spawned_by="parent"))
    assert (await explain(operations, run="spawned")).reason is Reason.QUEUE_LIMIT


async def test_run_spawned_by_an_unknown_run_is_created(operations: Operations) -> None:
    await operations.store.create(run_in("", "spawned", spawned_by="unknown"))
    assert await operations.store.count("runs WHERE spawned_by IS NULL") == 1
