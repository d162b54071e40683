"""State machine of attempts: reports, ends and retries."""

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


def make_report(
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
    make_report,
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


def test_attempt_phase_updates_its_action() -> None:
    outcome = apply(
        make_state(), [make_report(1, Phase.INITIALIZING), make_report(2, Phase.RUNNING)], NOW
    )
    assert outcome.state.phase is outcome.state.action_phase is Phase.RUNNING
    assert outcome.next_step is Next.KEEP
    assert outcome.state.started_at == LEASED + timedelta(minutes=1)
    assert outcome.state.ended_at is None


def test_attempt_success_ends_the_action_with_its_outputs() -> None:
    outcome = apply(make_state(), [make_report(1, Phase.SUCCEEDED, output_uri="s3://there")], NOW)
    assert outcome.next_step is Next.END
    assert outcome.state.action_phase is Phase.SUCCEEDED
    assert outcome.state.output_uri == "s3://there"


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.SUCCEEDED])
def test_attempt_that_has_not_failed_has_no_error(phase: Phase) -> None:
    outcome = apply(make_state(), [make_report(1, phase, failure=make_failure())], NOW)
    assert outcome.state.failure is None


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.FAILED, Phase.ABORTED])
def test_attempt_that_did_not_succeed_has_no_outputs(phase: Phase) -> None:
    outcome = apply(make_state(), [make_report(1, phase, output_uri="s3://there")], NOW)
    assert outcome.state.output_uri == ""


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.TIMED_OUT])
def test_attempt_failure_without_a_reason_is_a_system_failure(phase: Phase) -> None:
    outcome = apply(make_state(), [make_report(1, phase)], NOW)
    assert outcome.next_step is Next.RETRY
    assert outcome.state.failure is not None
    assert outcome.state.failure.kind is FailureKind.SYSTEM
    assert outcome.state.failures == Failures(system=1)


def test_report_with_unlawful_phase_is_recorded_and_changes_no_state() -> None:
    outcome = apply(make_state(Phase.RUNNING), [make_report(1, Phase.INITIALIZING)], NOW)
    assert outcome.state.phase is Phase.RUNNING
    assert [report.phase for report in outcome.applied] == [Phase.INITIALIZING]


def test_attempt_stopped_without_request_is_retried() -> None:
    outcome = apply(make_state(Phase.RUNNING), [make_report(1, Phase.ABORTED)], NOW)
    assert outcome.next_step is Next.RETRY
    assert outcome.state.phase is Phase.FAILED
    assert outcome.state.failure == INTERRUPTED


@pytest.mark.parametrize("end", ENDS, ids=lambda phase: phase.name)
def test_aborted_action_stays_aborted_however_its_attempt_ends(end: Phase) -> None:
    state = make_state(Phase.RUNNING, action_phase=Phase.ABORTED, retries=5, stop_requested=True)
    outcome = apply(state, [make_report(1, end, failure=make_failure())], NOW)
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
def test_retry_budget_is_separate_for_each_kind_of_failure(
    kind: FailureKind, before: Failures, retries: int, *, is_tried_again: bool
) -> None:
    state = make_state(Phase.RUNNING, failures=before, retries=retries)
    outcome = apply(state, [make_report(1, Phase.FAILED, failure=make_failure(kind))], NOW)
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
        (10, 10.0, 400, 0, 86_400),  # beyond what a float can make_report
        (10, float("inf"), 1, 60, 60),
        (10, float("nan"), 1, 60, 60),
        (10, -2.0, 1, 60, 0),
        (-10, 2.0, 1, 60, 0),
    ],
)
def test_retry_backoff_grows_up_to_its_cap(
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
def test_reports_are_idempotent(state: AttemptState, reported: Sequence[Report]) -> None:
    once = apply(state, reported, NOW)
    assert apply(state, [*reported, *reported], NOW) == once
    assert apply(once.state, reported, NOW).applied == []


@given(states, histories, st.randoms())
def test_reports_are_applied_in_order_of_version(
    state: AttemptState, reported: list[Report], chance: random.Random
) -> None:
    shuffled = list(reported)
    chance.shuffle(shuffled)
    assert apply(state, shuffled, NOW) == apply(state, reported, NOW)


@given(states, histories, st.integers(0, 10))
def test_reports_in_one_frame_or_two_have_the_same_result(
    state: AttemptState, reported: list[Report], at: int
) -> None:
    reported = sorted(reported, key=lambda report: report.version)
    whole = apply(state, reported, NOW)
    first = apply(state, reported[:at], NOW)
    if first.next_step is not Next.KEEP:
        assert first == whole  # reports after an end are ignored
        return
    second = apply(first.state, reported[at:], NOW)
    assert second.state == whole.state
    assert second.next_step is whole.next_step
    assert [*first.applied, *second.applied] == [*whole.applied]


@given(states, histories)
def test_report_versions_only_grow_and_terminal_phase_is_final(
    state: AttemptState, reported: Sequence[Report]
) -> None:
    outcome = apply(state, reported, NOW)
    versions = [report.version for report in outcome.applied]
    assert versions == sorted(set(versions))
    assert all(version > state.version for version in versions)
    assert outcome.state.version == max([state.version, *versions])
    ends = [report.phase for report in outcome.applied if report.phase in TERMINAL]
    assert len(ends) <= 1
    assert bool(ends) is (outcome.next_step is not Next.KEEP)


@given(states, st.lists(histories, max_size=40))
def test_retry_budgets_are_never_refilled(
    state: AttemptState, lives: Sequence[Sequence[Report]]
) -> None:
    retries = dict.fromkeys(FailureKind, 0)
    for reported in lives:
        outcome = apply(state, reported, NOW)
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
def test_report_timestamps_are_clamped_between_lease_and_now(
    state: AttemptState, reported: Sequence[Report]
) -> None:
    outcome = apply(state, reported, NOW)
    for at in (outcome.state.started_at, outcome.state.ended_at):
        assert at is None or LEASED <= at <= NOW
    if outcome.available_at is not None:
        assert outcome.available_at >= NOW


@given(states, histories)
def test_aborted_action_stays_aborted_after_any_reports(
    state: AttemptState, reported: Sequence[Report]
) -> None:
    aborted = replace(state, action_phase=Phase.ABORTED, stop_requested=True)
    outcome = apply(aborted, reported, NOW)
    assert outcome.state.action_phase is Phase.ABORTED
    assert outcome.next_step is not Next.RETRY


def _next_attempt(outcome: Outcome) -> AttemptState:
    state = outcome.state
    return make_state(failures=state.failures, retries=state.policy.retries)


def test_attempt_stopped_by_a_drain_is_preempted_and_retried() -> None:
    state = make_state(Phase.RUNNING, stop_requested=True)
    outcome = apply(state, [make_report(1, Phase.ABORTED)], NOW)
    assert outcome.next_step is Next.RETRY
    assert outcome.state.phase is Phase.FAILED
    assert outcome.state.failure == PREEMPTED
    assert outcome.state.failures == Failures(preemption=1)
