"""Tests of the life of actions in Postgres, from enqueue to the end."""

import asyncio

from controlplane.store.dispatch.admit import Enqueued
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from shared.model.reports import AckStatus, FailureKind
from tests.factories import make_failure, make_new_action, make_new_run, make_report
from tests.integration.store.conftest import Store


async def test_action_goes_from_queued_to_succeeded(store: Store) -> None:
    run = await store.create(make_new_run())
    assert (await store.detail(run)).row.phase is Phase.QUEUED

    [assignment] = await store.claim()
    assert assignment.output_prefix.endswith("/r1/a0/1")
    statuses = await store.report(
        make_report(assignment, 1, Phase.INITIALIZING),
        make_report(assignment, 2, Phase.RUNNING),
        make_report(assignment, 3, Phase.SUCCEEDED),
    )

    assert statuses == [AckStatus.APPLIED] * 3
    detail = await store.detail(run)
    assert detail.row.phase is Phase.SUCCEEDED
    assert detail.row.output_uri == assignment.output_prefix
    assert [change.phase for change in detail.attempts[0].transitions] == [
        Phase.QUEUED,
        Phase.INITIALIZING,
        Phase.RUNNING,
        Phase.SUCCEEDED,
    ]
    assert await store.count("dispatches") == 0


async def test_repeated_report_counts_once(store: Store) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    running = make_report(assignment, 1, Phase.RUNNING)
    ended = make_report(assignment, 2, Phase.SUCCEEDED)

    assert await store.report(running) == [AckStatus.APPLIED]
    assert await store.report(running, ended) == [AckStatus.REPEATED, AckStatus.APPLIED]
    assert await store.report(running, ended) == [AckStatus.REPEATED, AckStatus.REPEATED]
    assert await store.count("action_events") == 2
    assert (await store.detail(run)).row.phase is Phase.SUCCEEDED


async def test_report_without_the_current_lease_is_stale_and_changes_nothing(
    store: Store,
) -> None:
    run = await store.create(make_new_run(retries=1))
    [first] = await store.claim()
    await store.report(make_report(first, 1, Phase.FAILED, failure=make_failure()))
    [second] = await store.claim()

    assert second.attempt.number == 2
    late = make_report(first, 2, Phase.SUCCEEDED)
    assert await store.report(late) == [AckStatus.STALE]
    assert (await store.detail(run)).row.phase is Phase.QUEUED


async def test_report_from_another_cluster_is_stale(store: Store) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    report = make_report(assignment, 1, Phase.SUCCEEDED)
    assert await store.report(report, cluster=ClusterName("c2")) == [AckStatus.STALE]


async def test_failed_attempt_keeps_its_own_error(store: Store) -> None:
    run = await store.create(make_new_run(retries=1))
    for _ in range(2):
        [assignment] = await store.claim()
        await store.report(make_report(assignment, 1, Phase.FAILED, failure=make_failure()))

    detail = await store.detail(run)
    assert detail.row.phase is Phase.FAILED
    assert detail.row.attempts == 2
    assert [attempt.failure for attempt in detail.attempts] == [make_failure()] * 2
    assert await store.claim() == []


async def test_unrecoverable_error_is_not_retried(store: Store) -> None:
    run = await store.create(make_new_run(retries=3))
    [assignment] = await store.claim()
    failure = make_failure(recoverable=False)
    await store.report(make_report(assignment, 1, Phase.FAILED, failure=failure))
    assert (await store.detail(run)).row.phase is Phase.FAILED


async def test_system_failure_spends_no_user_retry(store: Store) -> None:
    run = await store.create(make_new_run(retries=0))
    [assignment] = await store.claim()
    failure = make_failure(FailureKind.SYSTEM)
    await store.report(make_report(assignment, 1, Phase.FAILED, failure=failure))
    detail = await store.detail(run)
    assert detail.row.phase is Phase.QUEUED
    assert detail.row.attempts == 2


async def test_enqueue_is_idempotent_and_keeps_the_first_content(store: Store) -> None:
    run = await store.create(make_new_run())
    child = make_new_action("c1")
    assert await store.enqueue(child) == [Enqueued.CREATED]
    assert await store.enqueue(child, make_new_action("c1", body=b"another")) == [
        Enqueued.REPEATED,
        Enqueued.DIFFERENT,
    ]
    assert (await store.detail(run, "c1")).spec == b"a child"


async def test_enqueue_with_one_invalid_request_creates_the_others(store: Store) -> None:
    await store.create(make_new_run())
    assert await store.enqueue(
        make_new_action("c1"),
        make_new_action("c2", run="nowhere"),
        make_new_action("c3", parent="nobody"),
        make_new_action("c1"),
    ) == [Enqueued.CREATED, Enqueued.NO_RUN, Enqueued.NO_PARENT, Enqueued.REPEATED]


async def test_enqueue_below_an_ended_action_is_refused(store: Store) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.SUCCEEDED))
    assert await store.enqueue(make_new_action("c1")) == [Enqueued.PARENT_ENDED]


async def test_end_of_an_action_aborts_its_live_descendants(store: Store) -> None:
    run = await store.create(make_new_run())
    [root] = await store.claim()
    await store.report(make_report(root, 1, Phase.RUNNING))
    await store.enqueue(make_new_action("c1"), make_new_action("c2"))
    leased = await store.claim(most=1)
    await store.enqueue(make_new_action("g1", parent=leased[0].key.name))

    await store.report(make_report(root, 2, Phase.FAILED, failure=make_failure()))

    for name in ("c1", "c2", "g1"):
        detail = await store.detail(run, name)
        assert detail.row.phase is Phase.ABORTED
        assert detail.row.abort_reason == "its parent action ended"
    assert await store.claim() == []
    assert await store.count("dispatches") == 1  # the one that the cluster still has leased

    assert await store.report(make_report(leased[0], 1, Phase.ABORTED)) == [AckStatus.APPLIED]
    assert await store.count("dispatches") == 0
    assert (await store.detail(run, leased[0].key.name)).row.phase is Phase.ABORTED


async def test_concurrent_claims_lease_different_work(store: Store) -> None:
    await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"c{number}") for number in range(20)))
    both = await asyncio.gather(store.claim(most=15), store.claim(most=15))
    names = [assignment.key.name for claimed in both for assignment in claimed]
    assert len(names) == len(set(names)) == 21
