"""Tests of queue operations and of the work in changed or deleted queues."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from controlplane.core.callers import Caller
from controlplane.core.errors import (
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    RequestError,
)
from controlplane.core.queues import Queue, QueueChange
from controlplane.store.dispatch.admit import Enqueued
from controlplane.store.resources.queues import PAGE, follow_page, save_queue
from controlplane.usecases.queues import Queues
from shared.model.ids import RunId
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import Store
from tests.integration.store.operations import OPERATOR
from tests.integration.store.wide import add_children


@pytest.fixture
def queues(store: Store) -> Queues:
    return Queues(store.database, FakeClock(NOW))


async def run_in(store: Store, queue: str, name: str = "r1") -> RunId:
    return await store.create(replace(make_new_run(name), queue=queue))


async def test_queue_is_created_and_changed_in_the_named_fields_only(queues: Queues) -> None:
    made = await queues.set(OPERATOR, "gpu", QueueChange(pool="gpus", depth=5, priority=2))
    assert (made.queue.pool, made.queue.depth, made.queue.priority) == ("gpus", 5, 2)
    assert made.clusters == 0
    changed = await queues.set(OPERATOR, "gpu", QueueChange(depth=0, action_concurrency=3))
    assert (changed.queue.pool, changed.queue.depth, changed.queue.action_concurrency) == (
        "gpus",
        0,
        3,
    )
    [listed], _ = await queues.list(OPERATOR)
    assert listed == changed


async def test_list_of_queues_counts_the_actions_in_each(store: Store, queues: Queues) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    await run_in(store, "q")
    await store.claim()
    await store.enqueue(*(make_new_action(f"n{number}") for number in range(3)))
    await store.claim(most=1)
    [status], _ = await queues.list(OPERATOR)
    assert (status.waiting, status.leased, status.runs, status.clusters) == (2, 2, 1, 1)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("Queue", QueueChange(), "queue name 'Queue'"),
        ("", QueueChange(), "queue name ''"),
        ("q" * 64, QueueChange(), "longer than 63"),
        ("default", QueueChange(), "called 'default'"),
        ("q", QueueChange(pool="p/q"), "pool name 'p/q'"),
        ("q", QueueChange(depth=-1), "depth is -1"),
        ("q", QueueChange(run_concurrency=1_000_001), "run_concurrency is 1000001"),
        ("q", QueueChange(action_concurrency=-5), "action_concurrency is -5"),
        ("q", QueueChange(priority=1_001), "priority is 1001"),
    ],
)
async def test_queue_with_invalid_settings_is_refused(
    queues: Queues, name: str, change: QueueChange, words: str
) -> None:
    with pytest.raises(InvalidError, match=words.replace("(", r"\(")):
        await queues.set(OPERATOR, name, change)


async def test_empty_queue_is_deleted_and_refuses_enqueues(store: Store, queues: Queues) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    await store.create(make_new_run())
    await queues.delete(OPERATOR, "q", move_to=None)
    assert await queues.list(OPERATOR) == ([], "")
    late = replace(make_new_action("n"), queue="q")
    assert await store.enqueue(late) == [Enqueued.NO_QUEUE]


async def test_queue_with_a_run_is_not_deleted(store: Store, queues: Queues) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    await run_in(store, "q")
    with pytest.raises(ConflictError, match="queue q is in use"):
        await queues.delete(OPERATOR, "q", move_to=None)
    [root] = await store.claim()
    with pytest.raises(ConflictError):  # an active run will enqueue into it
        await queues.delete(OPERATOR, "q", move_to=None)
    await store.report(make_report(root, 1, Phase.SUCCEEDED))
    await queues.delete(OPERATOR, "q", move_to=None)


async def test_queue_with_a_single_action_is_not_deleted(store: Store, queues: Queues) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    await store.create(make_new_run())
    await store.enqueue(replace(make_new_action("n"), queue="q"))
    with pytest.raises(ConflictError):
        await queues.delete(OPERATOR, "q", move_to=None)


@pytest.mark.parametrize("move_to", ["other", ""])
async def test_queue_deletion_moves_its_actions_and_runs(
    store: Store, queues: Queues, move_to: str
) -> None:
    await queues.set(OPERATOR, "other", QueueChange(priority=5))
    await queues.set(OPERATOR, "q", QueueChange(pool="nowhere"))
    run = await run_in(store, "q")
    await store.enqueue(replace(make_new_action("n1"), queue="q"))
    assert await store.claim() == []

    await queues.delete(OPERATOR, "q", move_to=move_to)
    assert {each.key.name for each in await store.claim()} == {"a0", "n1"}
    assert await store.enqueue(make_new_action("n2")) == [Enqueued.CREATED]  # its run moved too
    assert len(await store.claim()) == 1
    assert await store.phase(run, "n2") is Phase.QUEUED


async def count_in(store: Store, queue: str, pool: str) -> int:
    return await store.count(f"dispatches WHERE queue = '{queue}' AND pool = '{pool}'")


async def test_more_actions_than_a_page_follow_a_change_of_their_queue(
    store: Store, queues: Queues
) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    run = await run_in(store, "q")
    await add_children(store.database, run, 2 * PAGE + 1)
    await queues.set(OPERATOR, "q", QueueChange(pool="first"))
    assert await count_in(store, "q", "first") == 1  # its children are in the default queue
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("UPDATE dispatches SET queue = 'q'"))
    await queues.set(OPERATOR, "q", QueueChange(pool="second", priority=7, action_concurrency=1))
    assert await count_in(store, "q", "second") == 2 * PAGE + 2
    assert await store.count("dispatches WHERE priority = 7 AND limited") == 2 * PAGE + 2


async def test_change_of_a_queue_that_was_interrupted_is_completed_by_repeating_it(
    store: Store, queues: Queues
) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    run = await run_in(store, "q")
    await add_children(store.database, run, PAGE)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("UPDATE dispatches SET queue = 'q'"))
    async with store.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="q", pool="other"), NOW)
        past = await follow_page(tx, "q", "q", past=None)
        assert past is not None
    assert await count_in(store, "q", "") == 1
    await queues.set(OPERATOR, "q", QueueChange())
    assert await count_in(store, "q", "") == 0


async def test_deleted_queue_moves_more_runs_than_a_page(store: Store, queues: Queues) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    await queues.set(OPERATOR, "other", QueueChange(pool="x"))
    await run_in(store, "q")
    async with store.database.for_org(ORG) as tx:
        await tx.execute(
            text(
                "INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base,"
                " queue, created_at, started_at)"
                " SELECT org, md5('r' || n)::uuid, project, domain, 'r-' || n, 1, run_spec, run_base,"
                " queue, created_at, started_at FROM runs, generate_series(1, :count) n"
            ),
            {"count": PAGE + 1},
        )
        await tx.execute(
            text(
                "INSERT INTO dispatches (org, action_id, run_id, is_root, attempt, queue, priority,"
                " enqueued_at, available_at)"
                " SELECT org, run_id, run_id, true, 1, queue, 0, now(), now() FROM runs"
                " ON CONFLICT DO NOTHING"
            )
        )
    await queues.delete(OPERATOR, "q", move_to="other")
    assert await count_in(store, "other", "x") == PAGE + 2
    assert await store.count("runs WHERE queue = 'other'") == PAGE + 2


async def test_unknown_queue_is_refused_with_the_known_names(queues: Queues) -> None:
    await queues.set(OPERATOR, "q", QueueChange())
    with pytest.raises(NotFoundError, match="queue x not found; there is q"):
        await queues.delete(OPERATOR, "x", move_to=None)
    with pytest.raises(NotFoundError, match="queue y not found; there is q"):
        await queues.delete(OPERATOR, "q", move_to="y")
    with pytest.raises(InvalidError, match="itself"):
        await queues.delete(OPERATOR, "q", move_to="q")


async def test_queue_is_found_among_more_than_a_page(store: Store, queues: Queues) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.execute(
            text(
                "INSERT INTO queues (org, queue, created_at)"
                " SELECT :org, 'a' || number, now() FROM generate_series(1, 1001) number"
            )
        )
    assert (await queues.set(OPERATOR, "z", QueueChange(depth=1))).queue.depth == 1
    await queues.delete(OPERATOR, "z", move_to="a1")


async def test_queue_operations_need_permission(queues: Queues) -> None:
    stranger = Caller(subject=OPERATOR.subject, org=ORG, name="")
    requests: list[Callable[[], object]] = [
        lambda: queues.list(stranger),
        lambda: queues.set(stranger, "q", QueueChange()),
        lambda: queues.delete(stranger, "q", move_to=None),
    ]
    for request in requests:
        with pytest.raises(NotAllowedError):
            await request()  # type: ignore[misc]  # each is a coroutine
    assert issubclass(NotAllowedError, RequestError)
