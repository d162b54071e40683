"""Tests of timeouts: tasks that wait or run longer than their policy allows end."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from controlplane.core.actions import NewAction, RetryPolicy, Spec
from controlplane.core.runs import NewRun
from controlplane.core.timeouts import DEADLINE, QUEUED_TIMEOUT
from controlplane.loops import timeouts as timeouts_loop
from controlplane.loops.timeouts import Timeouts
from shared.model.ids import Digest, RunId
from shared.model.phases import Phase
from shared.model.reports import AckStatus, FailureKind
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import Store

MINUTE = timedelta(minutes=1)


def with_policy(spec: Spec, policy: RetryPolicy) -> Spec:
    digest = hashlib.sha256(spec.digest + repr(policy).encode()).digest()
    return replace(spec, digest=Digest(digest), policy=policy)


def action(name: str, **policy: object) -> NewAction:
    new = make_new_action(name)
    return replace(new, spec=with_policy(new.spec, RetryPolicy(**policy)))  # type: ignore[arg-type]


def run_with(**policy: object) -> NewRun:
    new = make_new_run()
    return replace(new, spec=with_policy(new.spec, RetryPolicy(**policy)))  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def timeouts(store: Store, clock: FakeClock) -> Timeouts:
    return Timeouts(store.database, clock, every=timedelta(hours=1))


async def how_it_ended(store: Store, run: RunId, name: str = "a0") -> tuple[Phase, str]:
    row = (await store.detail(run, name)).row
    return row.phase, row.failure.code if row.failure else ""


async def test_queued_timeout_ends_a_waiting_action(
    store: Store, clock: FakeClock, timeouts: Timeouts
) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(action("n", queued_timeout=MINUTE), action("patient"))
    assert await timeouts.run_once() == 0
    clock.advance(MINUTE)
    assert await timeouts.run_once() == 1
    assert await timeouts.run_once() == 0

    row = (await store.detail(run, "n")).row
    assert row.failure is not None
    assert (row.phase, row.failure.code) == (Phase.TIMED_OUT, QUEUED_TIMEOUT)
    assert row.failure.kind is FailureKind.USER
    assert "max_queued_time of 00:01:00" in row.failure.message
    assert {each.key.name for each in await store.claim()} == {"a0", "patient"}


async def test_queued_timeout_does_not_apply_to_a_started_attempt(
    store: Store, clock: FakeClock, timeouts: Timeouts
) -> None:
    await store.create(run_with(queued_timeout=MINUTE))
    [leased] = await store.claim()
    await store.report(make_report(leased, 1, Phase.WAITING_FOR_RESOURCES))
    await store.report(make_report(leased, 2, Phase.INITIALIZING))
    clock.advance(2 * MINUTE)
    assert await timeouts.run_once() == 0


async def test_queued_timeout_applies_to_an_attempt_queued_at_its_cluster(
    store: Store, clock: FakeClock, timeouts: Timeouts
) -> None:
    run = await store.create(run_with(queued_timeout=MINUTE))
    [leased] = await store.claim()
    await store.report(make_report(leased, 1, Phase.WAITING_FOR_RESOURCES))
    clock.advance(MINUTE)
    async with store.listening() as received:
        assert await timeouts.run_once() == 1
        assert list((await received.get()).stops) == ["c1"]
    assert await how_it_ended(store, run) == (Phase.TIMED_OUT, QUEUED_TIMEOUT)

    # Its cluster stops it, and it is not retried.
    assert await store.report(make_report(leased, 2, Phase.ABORTED)) == [AckStatus.APPLIED]
    assert await how_it_ended(store, run) == (Phase.TIMED_OUT, QUEUED_TIMEOUT)
    assert await store.count("dispatches") == 0


async def test_queued_timeout_starts_again_with_each_attempt_without_backoff(
    store: Store, clock: FakeClock, timeouts: Timeouts
) -> None:
    policy = {"queued_timeout": MINUTE, "retries": 1, "backoff_base": 10 * MINUTE}
    run = await store.create(run_with(**policy))
    [leased] = await store.claim()
    await store.report(make_report(leased, 1, Phase.FAILED, failure=make_failure()))
    clock.advance(10 * MINUTE)
    assert await timeouts.run_once() == 0
    clock.advance(MINUTE)
    assert await timeouts.run_once() == 1
    detail = await store.detail(run)
    assert await how_it_ended(store, run) == (Phase.TIMED_OUT, QUEUED_TIMEOUT)
    assert detail.attempts[0].failure == make_failure()  # the attempt's own error stays


async def test_deadline_bounds_all_attempts_and_their_descendants(
    store: Store, clock: FakeClock, timeouts: Timeouts
) -> None:
    run = await store.create(run_with(deadline=10 * MINUTE, queued_timeout=MINUTE, retries=9))
    [leased] = await store.claim()
    await store.report(make_report(leased, 1, Phase.RUNNING))
    await store.enqueue(make_new_action("n"))
    clock.advance(9 * MINUTE)
    assert await timeouts.run_once() == 0
    clock.advance(MINUTE)
    assert await timeouts.run_once() == 1
    assert await how_it_ended(store, run) == (Phase.TIMED_OUT, DEADLINE)
    assert await store.phase(run, "n") is Phase.ABORTED

    assert await store.report(make_report(leased, 2, Phase.FAILED, failure=make_failure())) == [
        AckStatus.APPLIED
    ]
    assert await how_it_ended(store, run) == (Phase.TIMED_OUT, DEADLINE)


async def test_action_that_ended_before_its_timeout_is_not_timed_out(
    store: Store, clock: FakeClock, timeouts: Timeouts
) -> None:
    run = await store.create(run_with(deadline=MINUTE))
    [leased] = await store.claim()
    await store.report(make_report(leased, 1, Phase.SUCCEEDED))
    clock.advance(2 * MINUTE)
    assert await timeouts.run_once() == 0
    assert await how_it_ended(store, run) == (Phase.SUCCEEDED, "")


LOCK_RUN = text("SELECT 1 FROM runs WHERE run = :run FOR UPDATE")


async def make_due(store: Store, run: str, number: int) -> None:
    await store.create(make_new_run(run))
    await store.enqueue(
        *(
            replace(
                make_new_action(f"n{each}", run=run),
                spec=with_policy(make_new_action("n").spec, RetryPolicy(queued_timeout=MINUTE)),
            )
            for each in range(number)
        )
    )


async def test_timeouts_of_a_locked_run_delay_no_other_run(
    store: Store, clock: FakeClock, timeouts: Timeouts
) -> None:
    """Neither other runs of the same org, whichever run is listed first."""
    for run in ("ra", "rb", "rc"):
        await make_due(store, run, 600 if run == "rb" else 1)
    clock.advance(MINUTE)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(LOCK_RUN, {"run": "rb"})
        assert await timeouts.run_once() == 2
    assert await timeouts.run_once() == 600
    assert await timeouts.run_once() == 0


async def test_timeouts_of_every_run_are_found_page_by_page(
    store: Store, clock: FakeClock, timeouts: Timeouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts_loop, "RUNS_AT_ONCE", 2)
    for number in range(5):
        await make_due(store, f"r{number}", 1)
    clock.advance(MINUTE)
    assert await timeouts.run_once() == 5
