"""We test what a report does to an attempt, and what an attempt's end does to its action."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from controlplane.core.actions import RetryPolicy
from controlplane.core.attempts import (
    INTERRUPTED,
    PREEMPTED,
    PREEMPTION_RETRIES,
    SYSTEM_RETRIES,
    AttemptState,
    Failures,
    Next,
    Outcome,
    apply,
    retry_delay,
)
from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import Failure, FailureKind, Report

LEASED = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW = LEASED + timedelta(hours=1)
ATTEMPT = AttemptId(ActionId(UUID(int=1)), 1)
LEASE = LeaseId(UUID(int=2))
ENDS = (Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT)
OF_ATTEMPTS = (
    Phase.QUEUED,
    Phase.WAITING_FOR_RESOURCES,
    Phase.INITIALIZING,
    Phase.RUNNING,
    *ENDS,
)


def make_state(
    phase: Phase = Phase.QUEUED,
    *,
    action_phase: Phase | None = None,
    version: int = 0,
    failures: Failures = Failures(),  # noqa: B008  # frozen
    retries: int = 0,
    stop_requested: bool = False,
) -> AttemptState:
    return AttemptState(
        attempt=ATTEMPT,
        phase=phase,
        version=version,
        leased_at=LEASED,
        action_phase=action_phase or phase,
        failures=failures,
        policy=RetryPolicy(retries=retries),
        stop_requested=stop_requested,
    )


def make_failure(kind: FailureKind = FailureKind.USER, *, recoverable: bool = True) -> Failure:
    return Failure(code="Broken", kind=kind, message="it broke", recoverable=recoverable)


def say(
    version: int,
    phase: Phase,
    *,
    failure: Failure | None = None,
    at: datetime = LEASED + timedelta(minutes=1),
    output_uri: str = "",
) -> Report:
    return Report(
        attempt=ATTEMPT,
        lease=LEASE,
        version=version,
        phase=phase,
        at=at,
        failure=failure,
        output_uri=output_uri,
    )


failures = st.builds(
    Failure,
    code=st.just("Broken"),
    kind=st.sampled_from(FailureKind),
    message=st.just("it broke"),
    recoverable=st.booleans(),
)
reports = st.builds(
    say,
    st.integers(1, 12),
    st.sampled_from(OF_ATTEMPTS),
    failure=st.none() | failures,
    at=st.integers(-7200, 7200).map(lambda seconds: NOW + timedelta(seconds=seconds)),
)
histories = st.lists(reports, max_size=10, unique_by=lambda report: report.version)
states = st.builds(
    make_state,
    st.sampled_from([phase for phase in OF_ATTEMPTS if phase not in TERMINAL]),
    version=st.integers(0, 5),
    failures=st.builds(
        Failures, user=st.integers(0, 3), system=st.integers(0, 5), preemption=st.integers(0, 21)
    ),
    retries=st.integers(0, 3),
)


def test_an_attempt_moves_its_action_along() -> None:
    outcome = apply(make_state(), [say(1, Phase.INITIALIZING), say(2, Phase.RUNNING)], NOW)
    assert outcome.state.phase is outcome.state.action_phase is Phase.RUNNING
    assert outcome.next_step is Next.KEEP
    assert outcome.state.started_at == LEASED + timedelta(minutes=1)
    assert outcome.state.ended_at is None


def test_success_ends_the_action_with_the_attempts_outputs() -> None:
    outcome = apply(make_state(), [say(1, Phase.SUCCEEDED, output_uri="s3://there")], NOW)
    assert outcome.next_step is Next.END
    assert outcome.state.action_phase is Phase.SUCCEEDED
    assert outcome.state.output_uri == "s3://there"


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.SUCCEEDED])
def test_what_went_well_has_no_error(phase: Phase) -> None:
    outcome = apply(make_state(), [say(1, phase, failure=make_failure())], NOW)
    assert outcome.state.failure is None


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.FAILED, Phase.ABORTED])
def test_what_did_not_succeed_has_no_outputs(phase: Phase) -> None:
    outcome = apply(make_state(), [say(1, phase, output_uri="s3://there")], NOW)
    assert outcome.state.output_uri == ""


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.TIMED_OUT])
def test_a_failure_without_a_reason_is_the_systems(phase: Phase) -> None:
    outcome = apply(make_state(), [say(1, phase)], NOW)
    assert outcome.next_step is Next.RETRY
    assert outcome.state.failure is not None
    assert outcome.state.failure.kind is FailureKind.SYSTEM
    assert outcome.state.failures == Failures(system=1)


def test_a_phase_that_cannot_follow_is_kept_in_the_history_and_moves_nothing() -> None:
    outcome = apply(make_state(Phase.RUNNING), [say(1, Phase.INITIALIZING)], NOW)
    assert outcome.state.phase is Phase.RUNNING
    assert [report.phase for report in outcome.applied] == [Phase.INITIALIZING]


def test_an_attempt_stopped_that_nobody_wanted_stopped_is_tried_again() -> None:
    outcome = apply(make_state(Phase.RUNNING), [say(1, Phase.ABORTED)], NOW)
    assert outcome.next_step is Next.RETRY
    assert outcome.state.phase is Phase.FAILED
    assert outcome.state.failure == INTERRUPTED


@pytest.mark.parametrize("end", ENDS, ids=lambda phase: phase.name)
def test_whatever_an_unwanted_attempt_ends_as_its_action_stays_aborted(end: Phase) -> None:
    state = make_state(Phase.RUNNING, action_phase=Phase.ABORTED, retries=5, stop_requested=True)
    outcome = apply(state, [say(1, end, failure=make_failure())], NOW)
    assert outcome.next_step is Next.END
    assert outcome.state.action_phase is Phase.ABORTED
    assert outcome.state.phase is end


@pytest.mark.parametrize(
    ("kind", "before", "retries", "is_tried_again"),
    [
        (FailureKind.USER, Failures(), 0, False),
        (FailureKind.USER, Failures(), 1, True),
        (FailureKind.USER, Failures(user=1), 1, False),
        (FailureKind.USER, Failures(system=4, preemption=20), 1, True),
        (FailureKind.SYSTEM, Failures(), 0, True),
        (FailureKind.SYSTEM, Failures(system=SYSTEM_RETRIES), 0, False),
        (FailureKind.SYSTEM, Failures(system=SYSTEM_RETRIES), SYSTEM_RETRIES, False),
        (FailureKind.SYSTEM, Failures(system=9), 10, True),
        (FailureKind.SYSTEM, Failures(system=10), 10, False),
        (FailureKind.SYSTEM, Failures(system=1), 1, True),
        (FailureKind.SYSTEM, Failures(user=9), 0, True),
        (FailureKind.PREEMPTION, Failures(preemption=PREEMPTION_RETRIES - 1), 0, True),
        (FailureKind.PREEMPTION, Failures(preemption=PREEMPTION_RETRIES), 9, False),
    ],
)
def test_each_kind_of_failure_has_a_budget_of_its_own(
    kind: FailureKind, before: Failures, retries: int, *, is_tried_again: bool
) -> None:
    state = make_state(Phase.RUNNING, failures=before, retries=retries)
    outcome = apply(state, [say(1, Phase.FAILED, failure=make_failure(kind))], NOW)
    assert outcome.next_step is (Next.RETRY if is_tried_again else Next.END)
    assert outcome.state.failures == before.plus(kind)


@pytest.mark.parametrize("kind", [FailureKind.USER, FailureKind.SYSTEM])
def test_non_recoverable_failure_is_not_retried(kind: FailureKind) -> None:
    failure = make_failure(kind, recoverable=False)
    assert retry_delay(failure, Failures(), RetryPolicy(retries=5)) is None


@pytest.mark.parametrize(
    ("base", "factor", "before", "cap", "seconds"),
    [
        (0, 2.0, 3, 0, 0),
        (10, 2.0, 0, 0, 10),
        (10, 2.0, 3, 0, 80),
        (10, 2.0, 3, 30, 30),
        (10, 1.0, 3, 0, 10),
        (10, 10.0, 400, 0, 86_400),  # beyond what a float can say
        (10, float("inf"), 1, 60, 60),
        (10, float("nan"), 1, 60, 60),
        (10, -2.0, 1, 60, 0),
        (-10, 2.0, 1, 60, 0),
    ],
)
def test_the_wait_grows_and_is_bounded(
    base: int, factor: float, before: int, cap: int, seconds: int
) -> None:
    policy = RetryPolicy(
        retries=1000,
        backoff_base=timedelta(seconds=base),
        backoff_factor=factor,
        backoff_cap=timedelta(seconds=cap),
    )
    delay = retry_delay(make_failure(), Failures(user=before), policy)
    assert delay == timedelta(seconds=seconds)


@given(states, histories)
def test_repeating_reports_changes_nothing(state: AttemptState, said: Sequence[Report]) -> None:
    once = apply(state, said, NOW)
    assert apply(state, [*said, *said], NOW) == once
    assert apply(once.state, said, NOW).applied == []


@given(states, histories, st.randoms())
def test_the_order_in_which_a_frame_lists_reports_does_not_matter(
    state: AttemptState, said: list[Report], chance: random.Random
) -> None:
    shuffled = list(said)
    chance.shuffle(shuffled)
    assert apply(state, shuffled, NOW) == apply(state, said, NOW)


@given(states, histories, st.integers(0, 10))
def test_reports_come_to_the_same_in_one_frame_or_in_two(
    state: AttemptState, said: list[Report], at: int
) -> None:
    said = sorted(said, key=lambda report: report.version)
    whole = apply(state, said, NOW)
    first = apply(state, said[:at], NOW)
    if first.next_step is not Next.KEEP:
        assert first == whole  # nothing after an end is news
        return
    second = apply(first.state, said[at:], NOW)
    assert second.state == whole.state
    assert second.next_step is whole.next_step
    assert [*first.applied, *second.applied] == [*whole.applied]


@given(states, histories)
def test_versions_only_grow_and_terminal_is_final(
    state: AttemptState, said: Sequence[Report]
) -> None:
    outcome = apply(state, said, NOW)
    versions = [report.version for report in outcome.applied]
    assert versions == sorted(set(versions))
    assert all(version > state.version for version in versions)
    assert outcome.state.version == max([state.version, *versions])
    ends = [report.phase for report in outcome.applied if report.phase in TERMINAL]
    assert len(ends) <= 1
    assert bool(ends) is (outcome.next_step is not Next.KEEP)


@given(states, st.lists(histories, max_size=40))
def test_budgets_are_never_refilled(state: AttemptState, lives: Sequence[Sequence[Report]]) -> None:
    retries = dict.fromkeys(FailureKind, 0)
    for said in lives:
        outcome = apply(state, said, NOW)
        spent = (outcome.state.failures.user, state.failures.user)
        assert spent[0] >= spent[1]
        if outcome.next_step is Next.END:
            break
        if outcome.next_step is Next.RETRY:
            assert outcome.state.failure is not None
            retries[outcome.state.failure.kind] += 1
            state = _next_attempt(outcome)
    assert retries[FailureKind.USER] <= state.policy.retries
    assert retries[FailureKind.SYSTEM] <= max(SYSTEM_RETRIES, state.policy.retries)
    assert retries[FailureKind.PREEMPTION] <= PREEMPTION_RETRIES


@given(states, histories)
def test_an_agents_clock_writes_neither_the_past_nor_the_future(
    state: AttemptState, said: Sequence[Report]
) -> None:
    outcome = apply(state, said, NOW)
    for at in (outcome.state.started_at, outcome.state.ended_at):
        assert at is None or LEASED <= at <= NOW
    if outcome.available_at is not None:
        assert outcome.available_at >= NOW


@given(states, histories)
def test_an_action_aborted_stays_aborted(state: AttemptState, said: Sequence[Report]) -> None:
    aborted = replace(state, action_phase=Phase.ABORTED, stop_requested=True)
    outcome = apply(aborted, said, NOW)
    assert outcome.state.action_phase is Phase.ABORTED
    assert outcome.next_step is not Next.RETRY


def _next_attempt(outcome: Outcome) -> AttemptState:
    state = outcome.state
    return make_state(failures=state.failures, retries=state.policy.retries)


def test_attempt_that_was_stopped_for_its_cluster_is_preempted_and_tried_again() -> None:
    state = make_state(Phase.RUNNING, stop_requested=True)
    outcome = apply(state, [say(1, Phase.ABORTED)], NOW)
    assert outcome.next_step is Next.RETRY
    assert outcome.state.phase is Phase.FAILED
    assert outcome.state.failure == PREEMPTED
    assert outcome.state.failures == Failures(preemption=1)
