"""Tests of enqueueing and creating runs: both are idempotent, also concurrently."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from controlplane.core.actions import ActionType, ConditionInfo, NewAction, RetryPolicy, TraceInfo
from controlplane.store.dispatch.admit import Answer, Enqueue, Enqueued
from controlplane.store.dispatch.enqueue import enqueue
from controlplane.store.resources import runs
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, RunId
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.factories import NOW, ORG, make_new_action, make_new_run
from tests.integration.store.conftest import Store


def make_trace(name: str, *, phase: Phase = Phase.SUCCEEDED) -> NewAction:
    failure = Failure(code="TraceFailed", kind=FailureKind.USER, message="it raised")
    return replace(
        make_new_action(name, kind=ActionType.TRACE),
        trace=TraceInfo(
            phase=phase,
            started_at=NOW - timedelta(seconds=2),
            ended_at=NOW - timedelta(seconds=1),
            output_uri="file:///blobs/trace/outputs.pb",
            failure=failure if phase is Phase.FAILED else None,
        ),
    )


async def test_concurrent_enqueues_of_one_action_create_it_once(store: Store) -> None:
    await store.create(make_new_run())
    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            request = Enqueue(ActionId(new_uuid(NOW)), make_new_action("b"))
            first = await enqueue(tx, [request], NOW)
            second = tasks.create_task(store.enqueue(make_new_action("b")))
            await store.until_a_lock_is_waited_for()
        assert [*first, *await second] == [Enqueued.CREATED, Enqueued.REPEATED]
    assert len(await store.claim()) == 2


async def test_enqueue_that_is_rolled_back_leaves_nothing(store: Store) -> None:
    await store.create(make_new_run())
    async with store.database.for_org(ORG) as tx:
        request = Enqueue(ActionId(new_uuid(NOW)), make_new_action("b"))
        await enqueue(tx, [request], NOW)
        await tx.connection.rollback()
    assert await store.enqueue(make_new_action("b")) == [Enqueued.CREATED]


async def test_concurrent_enqueues_into_many_runs_neither_deadlock_nor_duplicate(
    store: Store,
) -> None:
    names = [f"r{number}" for number in range(4)]
    for name in names:
        await store.create(make_new_run(name))

    async def enqueue_all(order: Sequence[str]) -> list[Answer]:
        return await store.enqueue(
            *(make_new_action(f"b{n}", run=run) for n in range(5) for run in order)
        )

    async with asyncio.timeout(60):
        answers = await asyncio.gather(
            *(enqueue_all(names if turn % 2 else names[::-1]) for turn in range(8))
        )
    created = [answer for each in answers for answer in each if answer is Enqueued.CREATED]
    assert len(created) == 20
    assert await store.count("dispatches") == 24


async def test_enqueue_with_other_content_keeps_the_first(store: Store) -> None:
    await store.create(make_new_run())
    first = make_new_action("b")
    await store.enqueue(first, make_new_action("c"))
    assert await store.enqueue(
        replace(first, input_uri="file:///elsewhere"),
        replace(first, parent=make_new_action("x", parent="c").parent),
        replace(make_trace("b"), input_uri=first.input_uri),
        replace(first, group="another group"),
    ) == [Enqueued.DIFFERENT, Enqueued.DIFFERENT, Enqueued.DIFFERENT, Enqueued.REPEATED]


async def test_enqueue_requests_of_one_name_are_answered_separately(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(make_new_action("b"))
    await store.abort(run, "b")
    assert await store.enqueue(
        make_new_action("x", parent="nobody"), make_new_action("x", parent="b")
    ) == [Enqueued.NO_PARENT, Enqueued.PARENT_ENDED]


async def test_enqueued_trace_is_ended_and_has_no_dispatch(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(make_trace("t1"), make_trace("t2", phase=Phase.FAILED))
    assert [each.key.name for each in await store.claim()] == ["a0"]
    good, bad = (await store.detail(run, "t1")).row, (await store.detail(run, "t2")).row
    assert (good.phase, good.failure) == (Phase.SUCCEEDED, None)
    assert good.started_at == NOW - timedelta(seconds=2)
    assert good.output_uri == "file:///blobs/trace/outputs.pb"
    assert bad.phase is Phase.FAILED
    assert bad.failure is not None
    assert bad.failure.code == "TraceFailed"


async def test_enqueued_condition_has_no_dispatch(store: Store) -> None:
    run = await store.create(make_new_run())
    condition = replace(
        make_new_action("q", kind=ActionType.CONDITION),
        condition=ConditionInfo(literal_type=b"type", timeout=None),
    )
    assert await store.enqueue(condition) == [Enqueued.CREATED]
    assert [each.key.name for each in await store.claim()] == ["a0"]
    detail = await store.detail(run, "q")
    assert (detail.row.phase, detail.row.condition_type) == (Phase.PAUSED, b"type")


async def test_spec_is_stored_once_for_many_actions(store: Store) -> None:
    await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"b{n}", body=b"the same") for n in range(50)))
    async with store.database.for_org(ORG) as tx:
        rows = await tx.rows(text("SELECT count(*) AS n FROM specs WHERE body = 'the same'"))
    assert rows[0].n == 1


async def test_spec_policy_that_was_parsed_differently_is_corrected(store: Store) -> None:
    """A spec is stored once by its digest; after a fix of the parser its policy is parsed again."""
    await store.create(make_new_run())
    before = make_new_action("b")
    await store.enqueue(before)
    mended = replace(before.spec, policy=RetryPolicy(retries=3, backoff_factor=2.0))
    await store.enqueue(replace(make_new_action("c"), spec=mended))
    async with store.database.for_org(ORG) as tx:
        [row] = await tx.rows(
            text("SELECT retries, backoff_factor, xmin FROM specs WHERE digest = :digest"),
            {"digest": mended.digest},
        )
    assert (row.retries, row.backoff_factor) == (3, 2.0)
    await store.enqueue(replace(make_new_action("d"), spec=mended))
    async with store.database.for_org(ORG) as tx:
        [again] = await tx.rows(
            text("SELECT xmin FROM specs WHERE digest = :digest"), {"digest": mended.digest}
        )
    assert again.xmin == row.xmin  # rows that agree are not written


async def create(store: Store, name: str = "r1", **requests: object) -> tuple[runs.Created, RunId]:
    new = replace(make_new_run(name), **requests)  # type: ignore[arg-type]
    async with store.database.for_org(ORG) as tx:
        return await runs.create_run(tx, RunId(new_uuid(NOW)), new, by="someone", now=NOW)


async def test_run_is_created_once_and_its_name_is_taken(store: Store) -> None:
    made, run = await create(store)
    assert await create(store) == (runs.Created.REPEATED, run)
    assert await create(store, input_uri="file:///elsewhere") == (runs.Created.TAKEN, run)
    assert made is runs.Created.CREATED
    assert await store.count("runs") == 1


async def test_concurrent_creations_of_one_run_create_it_once(store: Store) -> None:
    answers = await asyncio.gather(*(create(store) for _ in range(5)))
    assert sorted(made.name for made, _ in answers) == ["CREATED", *["REPEATED"] * 4]
    assert len({run for _, run in answers}) == 1


async def test_run_in_a_missing_or_archived_project_is_refused(store: Store) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("UPDATE projects SET state = 1 WHERE org = :org"))
    assert (await create(store))[0] is runs.Created.ARCHIVED_PROJECT
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("DELETE FROM projects WHERE org = :org"))
    assert (await create(store))[0] is runs.Created.NO_PROJECT
    assert await store.count("runs") == 0
