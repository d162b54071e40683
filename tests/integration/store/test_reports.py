"""Tests of reports: late, repeated, in large frames, and about leases that have moved on."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from controlplane.core.errors import InvalidError
from controlplane.store.notify.changes import lock_runs
from shared.model.ids import ActionId, LeaseId
from shared.model.phases import Phase
from shared.model.reports import AckStatus, ClusterEvent, EventType, FailureKind
from tests.factories import (
    NOW,
    ORG,
    make_failure,
    make_new_action,
    make_new_run,
    make_report,
    make_spec,
)
from tests.integration.store.conftest import Store


async def test_report_frame_is_answered_per_attempt(store: Store) -> None:
    run = await store.create(make_new_run(retries=1))
    await store.enqueue(*(make_new_action(f"b{number}") for number in range(4)))
    root, *rest = sorted(await store.claim(), key=lambda each: each.key.name)
    stranger = replace(rest[0], lease=LeaseId(uuid4()))
    unheard = replace(rest[0], attempt=replace(rest[0].attempt, action=ActionId(uuid4())))
    statuses = await store.report(
        make_report(rest[3], 2, Phase.SUCCEEDED),
        make_report(rest[3], 1, Phase.RUNNING),
        make_report(root, 1, Phase.RUNNING),
        make_report(rest[0], 1, Phase.FAILED, failure=make_failure()),
        make_report(rest[1], 1, Phase.INITIALIZING),
        make_report(stranger, 7, Phase.SUCCEEDED),
        make_report(unheard, 1, Phase.SUCCEEDED),
    )
    assert statuses == [AckStatus.APPLIED] * 5 + [AckStatus.STALE] * 2
    assert [await store.phase(run, name) for name in ("a0", "b0", "b1", "b2", "b3")] == [
        Phase.RUNNING,
        Phase.FAILED,
        Phase.INITIALIZING,
        Phase.QUEUED,
        Phase.SUCCEEDED,
    ]


async def test_report_of_an_older_version_changes_nothing(store: Store) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    assert await store.report(make_report(assignment, 3, Phase.RUNNING)) == [AckStatus.APPLIED]
    assert await store.report(make_report(assignment, 2, Phase.SUCCEEDED)) == [AckStatus.REPEATED]
    assert await store.phase(run) is Phase.RUNNING


async def test_report_after_the_terminal_one_is_stale(store: Store) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.SUCCEEDED))
    assert await store.report(make_report(assignment, 1, Phase.SUCCEEDED)) == [AckStatus.REPEATED]
    assert await store.report(make_report(assignment, 2, Phase.FAILED)) == [AckStatus.STALE]
    assert await store.phase(run) is Phase.SUCCEEDED


async def test_report_of_an_impossible_phase_is_kept_without_changing_the_action(
    store: Store,
) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(
        make_report(assignment, 1, Phase.RUNNING), make_report(assignment, 2, Phase.QUEUED)
    )
    assert await store.phase(run) is Phase.RUNNING
    assert await store.count("action_events") == 2


async def test_report_details_are_kept_with_the_attempt(store: Store) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    reported = ClusterEvent(
        at=NOW,
        reason="Pulled",
        message='an "image" of ünusual name\n',
        type=EventType.NORMAL,
        count=2,
        source="kubelet",
    )
    await store.report(replace(make_report(assignment, 1, Phase.INITIALIZING), events=[reported]))
    [attempt] = (await store.detail(run)).attempts
    assert attempt.events == [reported]


async def test_report_text_that_postgres_cannot_store_is_refused_by_name(store: Store) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    reported = ClusterEvent(at=NOW, reason="a\0b", message="")
    report = make_report(assignment, 1, Phase.RUNNING)
    for bad in (replace(report, message="a\0b"), replace(report, events=[reported])):
        with pytest.raises(InvalidError, match="NUL"):
            await store.report(bad)
    assert await store.report(report) == [AckStatus.APPLIED]


async def test_retry_waits_for_the_tasks_backoff(store: Store) -> None:
    spec = make_spec(b"patient", retries=2)
    policy = replace(spec.policy, backoff_base=timedelta(seconds=10), backoff_factor=3.0)
    run = await store.create(replace(make_new_run(), spec=replace(spec, policy=policy)))
    due = NOW
    for delay in (10, 30):
        [assignment] = await store.claim(now=due)
        failed = make_report(assignment, 1, Phase.FAILED, failure=make_failure())
        await store.report(failed)
        due = NOW + timedelta(seconds=delay)
        assert await store.claim(now=due - timedelta(microseconds=1)) == []
        assert await store.phase(run) is Phase.QUEUED
    [last] = await store.claim(now=due)
    assert last.attempt.number == 3
    await store.report(make_report(last, 1, Phase.FAILED, failure=make_failure()))
    assert await store.phase(run) is Phase.FAILED


async def test_retry_budgets_are_separate_and_never_refilled(store: Store) -> None:
    run = await store.create(make_new_run(retries=1))
    kinds = [
        FailureKind.SYSTEM,
        FailureKind.PREEMPTION,
        FailureKind.USER,
        FailureKind.SYSTEM,
        FailureKind.USER,
    ]
    for number, kind in enumerate(kinds, start=1):
        [assignment] = await store.claim(now=NOW + timedelta(hours=1))
        assert assignment.attempt.number == number
        failed = make_report(assignment, 1, Phase.FAILED, failure=make_failure(kind))
        assert await store.report(failed) == [AckStatus.APPLIED]
    detail = await store.detail(run)
    assert detail.row.phase is Phase.FAILED
    assert [each.failure.kind for each in detail.attempts if each.failure] == kinds


async def test_children_stay_live_while_their_parent_is_retried(store: Store) -> None:
    run = await store.create(make_new_run(retries=1))
    [root] = await store.claim()
    await store.enqueue(make_new_action("b"))
    await store.report(make_report(root, 1, Phase.FAILED, failure=make_failure()))
    assert await store.phase(run, "b") is Phase.QUEUED


async def test_report_frame_sent_twice_at_once_is_applied_once(store: Store) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    frame = [make_report(assignment, 1, Phase.RUNNING), make_report(assignment, 2, Phase.SUCCEEDED)]
    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            await lock_runs(tx, [run])
            both = [tasks.create_task(store.report(*frame)) for _ in range(2)]
            await store.until_a_lock_is_waited_for()
        answers = sorted([await each for each in both])
    assert answers == [[AckStatus.APPLIED] * 2, [AckStatus.REPEATED] * 2]
    assert await store.count("action_events") == 2


async def test_report_times_are_clamped_between_lease_and_now(store: Store) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    day = timedelta(days=1)
    await store.report(
        make_report(assignment, 1, Phase.RUNNING, at=NOW - 400 * day),
        make_report(assignment, 2, Phase.SUCCEEDED, at=NOW + 400 * day),
    )
    row = (await store.detail(run)).row
    assert (row.started_at, row.ended_at) == (NOW, NOW)
