"""Tests of aborts: they end whole subtrees once, and lose races against earlier ends."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from controlplane.core.clusters import AgentInfo
from controlplane.core.queues import Queue
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.admit import Enqueued
from controlplane.store.dispatch.dispatches import list_stops
from controlplane.store.notify.changes import lock_runs
from controlplane.store.resources.clusters import ClusterRef
from controlplane.store.resources.queues import save_queue
from controlplane.store.resources.runs import get_change
from controlplane.usecases.agent_sessions import AgentSessions
from shared.model.ids import ROOT, RunId
from shared.model.link_messages import InventoryDecision
from shared.model.phases import Phase
from shared.model.reports import AckStatus, FailureKind
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store


async def make_tree(store: Store) -> RunId:
    """Create a0 with children b and c, and grandchildren b1, b2 and c1."""
    run = await store.create(make_new_run())
    await store.enqueue(make_new_action("b"), make_new_action("c"))
    await store.enqueue(
        make_new_action("b1", parent="b"),
        make_new_action("b2", parent="b"),
        make_new_action("c1", parent="c"),
    )
    return run


async def change_of(store: Store, run: RunId) -> int:
    async with store.database.for_org(ORG) as tx:
        return await get_change(tx, run)


async def test_abort_ends_the_action_and_its_descendants_only(store: Store) -> None:
    run = await make_tree(store)
    assert await store.abort(run, "b") == 3
    for name in ("b", "b1", "b2"):
        row = (await store.detail(run, name)).row
        assert (row.phase, row.abort_reason, row.aborted_by) == (
            Phase.ABORTED,
            "enough",
            "someone",
        )
    for name in ("a0", "c", "c1"):
        assert await store.phase(run, name) is Phase.QUEUED
    assert {each.key.name for each in await store.claim()} == {"a0", "c", "c1"}


async def test_abort_of_a_run_ends_all_its_actions(store: Store) -> None:
    run = await make_tree(store)
    assert await store.abort(run) == 6
    assert await store.count("dispatches") == 0
    assert await store.enqueue(make_new_action("late")) == [Enqueued.PARENT_ENDED]


async def test_abort_of_an_ended_action_changes_nothing(store: Store) -> None:
    run = await make_tree(store)
    await store.abort(run, "b")
    before = await change_of(store, run)
    assert await store.abort(run, "b") == 0
    assert await store.abort(run, "nobody") == 0
    assert await change_of(store, run) == before


async def test_abort_marks_a_leased_attempt_with_a_stop_until_its_end_is_reported(
    store: Store,
) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    await store.abort(run)

    async with store.database.for_org(ORG) as tx:
        [stop] = await list_stops(tx, CLUSTER)
    assert (stop.attempt, stop.lease, stop.stop_reason) == (
        assignment.attempt,
        assignment.lease,
        "enough",
    )
    assert await store.report(make_report(assignment, 2, Phase.ABORTED)) == [AckStatus.APPLIED]
    assert await store.count("dispatches") == 0
    assert (await store.detail(run)).attempts[0].phase is Phase.ABORTED


@pytest.mark.parametrize("end", [Phase.SUCCEEDED, Phase.FAILED, Phase.TIMED_OUT, Phase.ABORTED])
async def test_abort_before_a_report_stands(store: Store, end: Phase) -> None:
    run = await store.create(make_new_run(retries=3))
    [assignment] = await store.claim()
    await store.abort(run)
    failure = make_failure() if end is Phase.FAILED else None
    assert await store.report(make_report(assignment, 1, end, failure=failure)) == [
        AckStatus.APPLIED
    ]
    detail = await store.detail(run)
    assert detail.row.phase is Phase.ABORTED
    assert detail.row.output_uri == ""
    assert detail.attempts[0].phase is end
    assert await store.count("dispatches") == 0
    assert await store.claim() == []


async def test_success_before_an_abort_stands(store: Store) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.SUCCEEDED))
    assert await store.abort(run) == 0
    assert await store.phase(run) is Phase.SUCCEEDED


async def test_abort_of_an_action_in_backoff_ends_it_at_once(store: Store) -> None:
    run = await store.create(make_new_run(retries=3))
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.FAILED, failure=make_failure()))
    assert await store.abort(run) == 1
    assert await store.count("dispatches") == 0
    detail = await store.detail(run)
    assert detail.row.phase is Phase.ABORTED
    assert detail.attempts[0].failure == make_failure()


async def test_end_of_a_parent_waits_for_a_concurrent_enqueue_below_it(store: Store) -> None:
    """No child is created below an ended action: the second transaction sees the first's change."""
    run = await store.create(make_new_run())
    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            assert await abort(tx, run, ROOT, reason="enough", by="someone", now=NOW) == 1
            late = tasks.create_task(store.enqueue(make_new_action("late")))
            await store.until_a_lock_is_waited_for()
        assert await late == [Enqueued.PARENT_ENDED]


async def test_commit_of_reports_and_abort_do_not_deadlock(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"b{number}") for number in range(5)))
    sessions = AgentSessions(store.database, FakeClock(NOW))
    timings = AgentInfo(agent_id="a", instance_id="i", software="test")
    session = await sessions.open(ClusterRef(ORG, CLUSTER), timings)
    leased = await store.claim()
    accepted = [(each.attempt, each.lease) for each in reversed(leased)]

    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            await lock_runs(tx, [run])
            running = [make_report(leased[0], 1, Phase.RUNNING)]
            assert (await sessions.commit_reports(session, [], running)).locked == running
            acknowledged = tasks.create_task(sessions.settle_locked(session, running))
            await store.until_a_lock_is_waited_for()
            assert await abort(tx, run, ROOT, reason="enough", by="someone", now=NOW) == 6
        await acknowledged
    answer = await sessions.commit_reports(session, accepted, running)
    assert len(answer.acknowledged) == 1
    assert answer.accepted.confirmed == []  # all have a stop by now
    assert await store.phase(run) is Phase.ABORTED


async def test_commit_of_reports_locks_reported_and_accepted_dispatches_in_one_order(
    store: Store,
) -> None:
    await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"b{number}") for number in range(2)))
    sessions = AgentSessions(store.database, FakeClock(NOW))
    timings = AgentInfo(agent_id="a", instance_id="i", software="test")
    session = await sessions.open(ClusterRef(ORG, CLUSTER), timings)
    first, *_, last = sorted(await store.claim(), key=lambda each: each.attempt)

    lock = text("SELECT 1 FROM dispatches WHERE org = :org AND action_id = :id FOR UPDATE")
    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            await tx.execute(lock, {"id": first.attempt.action})
            running = [make_report(last, 1, Phase.RUNNING)]
            accepted = [(first.attempt, first.lease)]
            acknowledged = tasks.create_task(sessions.commit_reports(session, accepted, running))
            await store.until_a_lock_is_waited_for()
            await tx.execute(
                lock, {"id": last.attempt.action}
            )  # not locked by the other transaction yet
        answer = await acknowledged
    assert answer.accepted.confirmed == accepted


async def test_claim_and_abort_do_not_deadlock(store: Store) -> None:
    run = await store.create(make_new_run())
    async with store.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="narrow", action_concurrency=1), NOW)
    narrow = replace(make_new_action("n"), queue="narrow")
    assert await store.enqueue(narrow, make_new_action("b")) == [Enqueued.CREATED] * 2

    async with store.database.for_org(ORG) as tx:
        assert await abort(tx, run, ROOT, reason="enough", by="someone", now=NOW) == 3
        assert (
            await store.claim() == []
        )  # dispatches that are being aborted are skipped, not waited for
    assert await store.claim() == []


async def test_inventory_and_abort_do_not_deadlock(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"b{number}") for number in range(5)))
    sessions = AgentSessions(store.database, FakeClock(NOW))
    timings = AgentInfo(agent_id="a", instance_id="i", software="test")
    session = await sessions.open(ClusterRef(ORG, CLUSTER), timings)
    leased = sorted(await store.claim(), key=lambda each: each.attempt)
    accepted = [(each.attempt, each.lease) for each in leased]
    await sessions.commit_reports(session, accepted, [])

    lock = text("SELECT 1 FROM dispatches WHERE org = :org AND action_id = :id FOR UPDATE")
    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            await tx.execute(lock, {"id": leased[0].attempt.action})
            judged = tasks.create_task(sessions.reconcile_inventory(session, accepted[3:]))
            await store.until_a_lock_is_waited_for()
            await tx.execute(lock, {"id": leased[-1].attempt.action})
            assert await abort(tx, run, ROOT, reason="enough", by="someone", now=NOW) == 6
        statuses = await judged
    assert [judgement for _, _, judgement in statuses] == [InventoryDecision.STOP] * 3


async def test_preempted_attempt_is_retried_without_a_failure_on_the_action(
    store: Store,
) -> None:
    run = await store.create(make_new_run(retries=0))
    [first] = await store.claim()
    failure = make_failure(FailureKind.PREEMPTION)
    await store.report(make_report(first, 1, Phase.FAILED, failure=failure))
    [second] = await store.claim()
    assert second.attempt.number == 2
    assert second.previous_output_prefix == first.output_prefix
    detail = await store.detail(run)
    assert detail.row.failure is None
    assert detail.attempts[0].failure == failure
