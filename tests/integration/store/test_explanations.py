"""Tests of explanations: why an action waits now, and why it waited."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from controlplane.core.explanations import Explained
from controlplane.core.link_timings import LinkTimings
from controlplane.core.pending_reasons import BlockedKind, BlockedScope, PendingReason
from controlplane.core.queues import QueueChange
from controlplane.core.reason_codes import Reason
from controlplane.loops.leases import LeaseExpiry
from controlplane.loops.pending_reasons import PendingReasonRecorder
from controlplane.store.dispatch import pending_reasons
from controlplane.store.dispatch.cascades import PAGE, end_page
from controlplane.store.dispatch.explanations import list_dispatches_page
from shared.model.ids import ActionKey
from shared.model.phases import Phase
from shared.model.reports import Report
from tests.factories import (
    NOW,
    ORG,
    make_action_key,
    make_failure,
    make_new_action,
    make_new_run,
    make_report,
    make_run_key,
)
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.operations import OPERATOR, Operations
from tests.integration.store.wide import add_children

DAYS = timedelta(days=30)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def operations(store: Store, clock: FakeClock) -> AsyncIterator[Operations]:
    async with Operations.on(store, clock) as operations:
        yield operations


@pytest.fixture
def record(store: Store, clock: FakeClock) -> PendingReasonRecorder:
    return PendingReasonRecorder(store.database, clock, keep=DAYS, every=timedelta(hours=1))


async def explain(operations: Operations, name: str = "a0") -> Explained:
    return await operations.explanations.action(OPERATOR, make_action_key(name))


def text(explained: Explained) -> Sequence[tuple[Reason, int]]:
    return [
        (each.reason, int((each.ended_at - each.started_at).total_seconds()))
        for each in explained.timeline
    ]


async def go_on(clock: FakeClock, record: PendingReasonRecorder, seconds: int) -> None:
    """Advance the clock and record pending reasons, second by second."""
    for _ in range(seconds):
        await record.run_once()
        clock.advance(timedelta(seconds=1))
    await record.run_once()


async def test_explanation_of_an_ended_run_has_its_seconds_of_waiting(
    operations: Operations, clock: FakeClock, record: PendingReasonRecorder
) -> None:
    store = operations.store
    await record.run_once()
    await store.create(make_new_run())
    await go_on(clock, record, 3)  # no cluster is connected
    agent = await operations.connect()
    await agent.say(held=0, running=0, slots=0)
    await go_on(clock, record, 4)  # a cluster is connected, but full
    await agent.say(held=0, running=0, slots=1)
    await go_on(clock, record, 2)
    assert (await explain(operations)).now.reason is Reason.FAIRNESS
    [lease_record] = await agent.take()
    clock.advance(timedelta(seconds=1))
    await agent.accept(lease_record)
    clock.advance(timedelta(seconds=1))
    begun = replace(make_report(lease_record, 1, Phase.RUNNING), at=clock.now())
    clock.advance(timedelta(seconds=5))
    ended = replace(make_report(lease_record, 2, Phase.SUCCEEDED), at=clock.now())
    await agent.sessions.commit_reports(agent.session, [], [begun, ended])
    clock.advance(timedelta(days=1))

    explained = await explain(operations)
    assert text(explained) == [
        (Reason.NO_CLUSTER, 3),
        (Reason.NO_CREDIT, 4),
        (Reason.FAIRNESS, 2),
        (Reason.LEASED_NOT_ACCEPTED, 1),
        (Reason.ACCEPTED_NOT_STARTED, 1),
        (Reason.RUNNING, 5),
    ]
    assert explained.now.reason is Reason.ENDED


async def test_explanation_names_the_limit_and_its_owner(
    operations: Operations, clock: FakeClock, record: PendingReasonRecorder
) -> None:
    store = operations.store
    agent = await operations.connect()
    await store.create(replace(make_new_run(), max_action_concurrency=1))
    await agent.take()
    await store.enqueue(make_new_action("n1"), make_new_action("n2"))
    await operations.clusters.cordon(OPERATOR, CLUSTER)
    why = await explain(operations, "n1")
    assert why.now.reason is Reason.NO_CLUSTER
    assert "cordoned or drained (c1)" in why.now.message
    await operations.clusters.uncordon(OPERATOR, CLUSTER)

    [leased] = await agent.take()  # the run allows one
    [waits] = {"n1", "n2"} - {str(leased.key.name)}
    await go_on(clock, record, 3)
    explained = await explain(operations, waits)
    assert explained.now.reason is Reason.RUN_LIMIT
    assert text(explained)[-1] == (Reason.RUN_LIMIT, 3)


async def test_explanation_names_a_full_queue(operations: Operations) -> None:
    store = operations.store
    agent = await operations.connect()
    await operations.queues.set(OPERATOR, "q", QueueChange(action_concurrency=1, depth=2))
    await store.create(make_new_run())
    [root] = await agent.take()
    await agent.accept(root)
    await store.report(make_report(root, 1, Phase.RUNNING))
    await store.enqueue(*(replace(make_new_action(f"q{n}"), queue="q") for n in range(2)))
    [leased] = await agent.take()
    waits = "q0" if leased.key.name == "q1" else "q1"
    why = await explain(operations, waits)
    assert why.now.reason is Reason.QUEUE_LIMIT
    assert "limit of running actions: 1 of 1" in why.now.message


async def test_explanation_of_a_run_names_the_full_queue_that_refuses_its_actions(
    operations: Operations,
) -> None:
    store = operations.store
    agent = await operations.connect()
    await operations.queues.set(OPERATOR, "q", QueueChange(depth=1))
    await store.create(replace(make_new_run(), queue="q"))
    [root] = await agent.take()
    await agent.accept(root)
    await store.report(make_report(root, 1, Phase.RUNNING))
    assert (await explain(operations)).now.reason is Reason.RUNNING
    await store.enqueue(make_new_action("n1"))
    assert (await explain(operations)).now.reason is Reason.QUEUE_FULL


async def test_explanation_counts_the_work_that_starts_first(operations: Operations) -> None:
    store = operations.store
    await operations.connect()
    await operations.queues.set(OPERATOR, "urgent", QueueChange(priority=1))
    await store.create(make_new_run("r1"))
    await store.create(make_new_run("r2"))
    await store.enqueue(
        *(make_new_action(f"n{number}") for number in range(3)),
        replace(make_new_action("u"), queue="urgent"),
    )
    user_errors = [(await explain(operations, f"n{number}")).now.message for number in range(3)]
    for ahead in range(3):
        assert any(
            f"1 of a higher priority and {ahead} of its own run go first, and capacity is "
            "shared with 1 of" in message
            for message in user_errors
        )


async def test_explanation_of_a_run_lists_its_actions_in_every_pool_and_priority(
    operations: Operations,
) -> None:
    await operations.store.create(make_new_run())
    await operations.store.create(make_new_run("other"))
    for number, (pool, priority) in enumerate(product(("", "x", "y"), (-1, 0, 2))):
        name = f"q{number}"
        await operations.queues.set(OPERATOR, name, QueueChange(pool=pool, priority=priority))
        await operations.store.enqueue(
            replace(make_new_action(f"n{number}"), queue=name),
            replace(make_new_action("of-other", run="other"), queue=name),
        )
    found = await operations.explanations.run(OPERATOR, make_run_key())
    assert [each.action.name for each in found.pending] == ["a0", *(f"n{n}" for n in range(9))]


async def test_explanation_names_the_cascade_that_pauses_its_run(
    operations: Operations, clock: FakeClock, record: PendingReasonRecorder
) -> None:
    store = operations.store
    agent = await operations.connect()
    run = await store.create(make_new_run())
    await agent.take()
    await store.enqueue(make_new_action("wide"), make_new_action("waits"))
    await add_children(store.database, run, PAGE + 1, parent="wide")
    await store.abort(run, "wide")
    assert await agent.take() == []  # the run has a marker
    why = await explain(operations, "waits")
    assert why.now.reason is Reason.CASCADE
    assert "Action wide of the run has ended" in why.now.message
    await go_on(clock, record, 3)

    async with store.database.for_org(ORG) as tx:
        while await end_page(tx, run, NOW) is not None:
            pass
    await go_on(clock, record, 1)
    explained = await explain(operations, "waits")
    assert explained.now.reason is Reason.FAIRNESS
    assert text(explained) == [(Reason.CASCADE, 3), (Reason.FAIRNESS, 1)]
    assert [each.key.name for each in await agent.take()] == ["waits"]


async def test_explanation_shows_an_unaccepted_lease(
    operations: Operations, clock: FakeClock
) -> None:
    store = operations.store
    agent = await operations.connect()
    run = await store.create(make_new_run())
    clock.advance(timedelta(seconds=1))
    await agent.take()
    assert (await explain(operations)).now.reason is Reason.LEASED_NOT_ACCEPTED
    clock.advance(timedelta(seconds=11))
    assert await LeaseExpiry(store.database, clock, LinkTimings()).run_once() == 1
    clock.advance(timedelta(seconds=2))
    explained = await explain(operations)
    assert text(explained) == [
        (Reason.FAIRNESS, 1),
        (Reason.LEASED_NOT_ACCEPTED, 11),
        (Reason.FAIRNESS, 2),
    ]
    assert "It is next" in explained.now.message
    detail = await store.detail(run)
    assert [event.reason for event in detail.attempts[0].events] == ["LeaseReturned"]


async def test_explanation_shows_reports_of_the_agent(operations: Operations) -> None:
    store = operations.store
    agent = await operations.connect()
    await store.create(make_new_run(retries=1))
    [lease_record] = await agent.take()
    await agent.accept(lease_record)
    assert (await explain(operations)).now.reason is Reason.ACCEPTED_NOT_STARTED
    pulling = Report(
        attempt=lease_record.attempt,
        lease=lease_record.lease,
        version=1,
        phase=Phase.INITIALIZING,
        at=NOW,
        reason="ImagePullBackOff",
        message="no such image",
    )
    await store.report(pulling)
    why = (await explain(operations)).now
    assert (why.reason, why.message) == (
        Reason.IMAGE,
        "Its cluster reports: initializing, no such image.",
    )


async def test_explanation_names_a_cluster_without_heartbeats_and_since_when(
    operations: Operations, clock: FakeClock, record: PendingReasonRecorder
) -> None:
    store = operations.store
    agent = await operations.connect()
    await store.create(make_new_run())
    [lease_record] = await agent.take()
    await agent.accept(lease_record)
    await store.report(make_report(lease_record, 1, Phase.RUNNING))
    clock.advance(timedelta(seconds=5))
    await agent.sessions.close(agent.session)
    await go_on(clock, record, 3)
    explained = await explain(operations)
    assert explained.now.reason is Reason.CLUSTER_SILENT
    assert "c1 has sent no heartbeat since 2026-06-01 12:00:00 UTC" in explained.now.message


async def test_explanation_lists_pending_actions_of_a_run_with_reasons(
    operations: Operations,
) -> None:
    store = operations.store
    agent = await operations.connect()
    await operations.queues.set(OPERATOR, "gpu", QueueChange(pool="gpus"))
    await store.create(make_new_run())
    [root] = await agent.take()
    await agent.accept(root)
    await store.report(make_report(root, 1, Phase.RUNNING))
    await store.enqueue(
        make_new_action("done"), make_new_action("n"), replace(make_new_action("g"), queue="gpu")
    )
    done = next(each for each in await agent.take(1))
    await store.report(make_report(done, 1, Phase.FAILED, failure=make_failure(recoverable=False)))
    other = {"n", "done"} - {str(done.key.name)}
    found = await operations.explanations.run(OPERATOR, make_run_key())
    assert {(each.action.name, each.why.reason) for each in found.pending} == {
        ("a0", Reason.RUNNING),
        ("g", Reason.NO_CLUSTER),
        *((name, Reason.FAIRNESS) for name in other),
    }
    assert found.root.action == ActionKey(make_run_key(), found.root.action.name)


async def test_pending_reasons_are_recorded_by_one_replica_and_expire(
    operations: Operations, clock: FakeClock, record: PendingReasonRecorder
) -> None:
    await asyncio.gather(*(record.run_once() for _ in range(4)))
    assert await operations.store.count("obstacles") == 1
    agent = await operations.connect()
    await record.run_once()
    await agent.sessions.close(agent.session)
    clock.advance(timedelta(seconds=5))
    await record.run_once()  # it returns at once: the same pending reason continues
    assert await operations.store.count("obstacles") == 2  # the second: the cluster is silent
    await operations.connect()
    await record.run_once()
    clock.advance(DAYS + timedelta(seconds=1))
    await record.run_once()
    assert await operations.store.count("obstacles") == 0


async def test_pending_reasons_survive_a_clock_that_is_set_back(store: Store) -> None:
    key = ORG, BlockedScope(BlockedKind.POOL, "")
    full = {key: PendingReason(reason=Reason.NO_CREDIT, message="The clusters are full.")}
    async with store.database.for_fleet("keep the record of obstacles") as tx:
        for began in (0, 20):
            await pending_reasons.start(tx, full, NOW + timedelta(seconds=began))
            await pending_reasons.end(tx, [key], NOW + timedelta(seconds=began + 1))
        await pending_reasons.start(tx, full, NOW + timedelta(seconds=5))
        [there] = (await pending_reasons.list_there(tx)).values()
    assert there.began_at == NOW + timedelta(seconds=20)


async def test_pending_actions_of_a_wide_run_are_listed_in_bounded_pages(
    store: Store, operations: Operations
) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, 30, ended=20)
    pages: list[list[str]] = []
    after = ""
    while not pages or after:
        async with store.database.for_org(ORG) as tx:
            found, after = await list_dispatches_page(
                tx, run, make_run_key(), after=after, most=4, examined=6
            )
        pages.append([each.action.name for each in found])
    listed = [name for page in pages for name in page]
    whole = await operations.explanations.list_pending(OPERATOR, make_run_key(), limit=200)
    assert listed == [each.action.name for each in whole[0]]
    assert len(listed) == len(set(listed)) == 11  # the root, and the ten that have not ended
    assert whole[1] == ""
    assert max(map(len, pages)) <= 4
    assert [] in pages  # six that have ended
