"""
State machine of attempts: applies agents' reports and decides on retries.

Retry budgets are separate and never refilled: the task's own retries for user errors, at least
``SYSTEM_RETRIES`` for system errors, ``PREEMPTION_RETRIES`` for preemptions, which are neither's
fault. An error marked as not recoverable is not retried, whatever its kind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from controlplane.core.actions import RetryPolicy
from shared.model.ids import AttemptId
from shared.model.phases import TERMINAL, Phase, UnlawfulPhaseError, advance
from shared.model.reports import Failure, FailureKind, LogLink, Report

SYSTEM_RETRIES = 4
"""Minimum budget for system errors; a task with more retries of its own gets those."""
PREEMPTION_RETRIES = 20
_SYSTEM_BACKOFF = timedelta(seconds=1)
_SYSTEM_BACKOFF_CAP = timedelta(minutes=2)

_BAD_ENDS = frozenset({Phase.FAILED, Phase.TIMED_OUT, Phase.ABORTED})

INTERRUPTED = Failure(
    code="Interrupted",
    kind=FailureKind.SYSTEM,
    message="The attempt was stopped without a request to stop it: its agent shut down.",
)


PREEMPTED = Failure(
    code="Preempted",
    kind=FailureKind.PREEMPTION,
    message="The attempt was stopped to drain its cluster.",
)


CLUSTER_LOST = Failure(
    code="ClusterLost",
    kind=FailureKind.SYSTEM,
    message="The cluster sent no heartbeat for too long; its agent has stopped the attempt.",
)
LEASE_LOST = Failure(
    code="LeaseLost",
    kind=FailureKind.SYSTEM,
    message="The cluster's agent no longer has the attempt: its ledger was lost.",
)
BY_CONTROL_PLANE = frozenset({CLUSTER_LOST.code, LEASE_LOST.code})
"""Codes of failures with which the control plane ended an attempt in place of its agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Counts an action's failures by kind."""

    user: int = 0
    system: int = 0
    preemption: int = 0

    def plus(self, kind: FailureKind) -> "Failures":
        match kind:
            case FailureKind.USER:
                return replace(self, user=self.user + 1)
            case FailureKind.SYSTEM | FailureKind.UNKNOWN:
                return replace(self, system=self.system + 1)
            case FailureKind.PREEMPTION:
                return replace(self, preemption=self.preemption + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptState:
    """State of one leased attempt as stored, with the inputs to the retry decision."""

    attempt: AttemptId
    phase: Phase
    version: int  # of the last report applied
    leased_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    message: str = ""
    failure: Failure | None = None
    output_uri: str = ""
    report_uri: str = ""
    log_uri: str = ""
    log_links: Sequence[LogLink] = ()
    action_phase: Phase
    failures: Failures
    policy: RetryPolicy
    stop_requested: bool


class Next(Enum):
    """Change of the action's dispatch row after reports were applied."""

    KEEP = auto()
    RETRY = auto()  # requeue it for the next attempt
    END = auto()  # delete it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of applying a batch of reports to one attempt."""

    state: AttemptState
    applied: Sequence[Report]  # the reports that were new, oldest first
    next_step: Next
    available_at: datetime | None = None  # of the next attempt


def apply(state: AttemptState, reports: Iterable[Report], now: datetime) -> Outcome:
    """
    Apply the new reports of one attempt; reports with a known version are ignored.

    A phase that may not follow the current one is kept in the history and changes no state.
    Timestamps are clamped between the lease and ``now``, so that an agent's wrong clock cannot
    date a report before its lease or in the future.
    """
    applied: list[Report] = []
    for report in sorted(reports, key=lambda each: each.version):
        if report.version <= state.version or state.phase in TERMINAL:
            continue
        clamped = replace(report, at=min(max(report.at, state.leased_at), now))
        applied.append(clamped)
        state = _take(state, clamped)
    if not applied or state.phase not in TERMINAL:
        if state.action_phase not in TERMINAL:
            state = replace(state, action_phase=state.phase)
        return Outcome(state=state, applied=applied, next_step=Next.KEEP)
    return _end(state, applied, now)


def _take(state: AttemptState, report: Report) -> AttemptState:
    try:
        phase = advance(state.phase, report.phase)
    except UnlawfulPhaseError:
        phase = state.phase
    started = phase >= Phase.RUNNING and phase is not Phase.PAUSED
    return replace(
        state,
        phase=phase,
        version=report.version,
        started_at=state.started_at or (report.at if started else None),
        ended_at=report.at if phase in TERMINAL else None,
        reason=report.reason,
        message=report.message,
        failure=report.failure if phase in _BAD_ENDS else None,
        output_uri=report.output_uri if phase is Phase.SUCCEEDED else "",
        report_uri=report.report_uri or state.report_uri,
        log_uri=report.log_uri or state.log_uri,
        log_links=report.log_links or state.log_links,
    )


def _end(state: AttemptState, applied: Sequence[Report], now: datetime) -> Outcome:
    """Decide whether the action ends with its attempt or is retried."""
    if state.phase is Phase.ABORTED and not state.stop_requested:
        state = replace(state, phase=Phase.FAILED, failure=state.failure or INTERRUPTED)
    if state.action_phase in TERMINAL:  # aborted, and this was its last attempt
        return Outcome(state=state, applied=applied, next_step=Next.END)
    if state.phase is Phase.ABORTED:  # stopped, though the action was not: its cluster is drained
        state = replace(state, phase=Phase.FAILED, failure=PREEMPTED)
    if state.phase not in {Phase.FAILED, Phase.TIMED_OUT}:
        ended = replace(state, action_phase=state.phase)
        return Outcome(state=ended, applied=applied, next_step=Next.END)
    failure = state.failure or Failure(
        code="Unknown", kind=FailureKind.SYSTEM, message="The agent gave no reason."
    )
    delay = retry_delay(failure, state.failures, state.policy)
    state = replace(state, failure=failure, failures=state.failures.plus(failure.kind))
    if delay is None:
        ended = replace(state, action_phase=state.phase)
        return Outcome(state=ended, applied=applied, next_step=Next.END)
    return Outcome(
        state=replace(state, action_phase=Phase.QUEUED),
        applied=applied,
        next_step=Next.RETRY,
        available_at=now + delay,
    )


def retry_delay(failure: Failure, before: Failures, policy: RetryPolicy) -> timedelta | None:
    """Return the backoff before the next attempt; None when the retry budget is spent."""
    match failure.kind:
        case FailureKind.USER:
            if not failure.recoverable or before.user >= policy.retries:
                return None
            return _grown(
                policy.backoff_base, policy.backoff_factor, before.user, policy.backoff_cap
            )
        case FailureKind.SYSTEM | FailureKind.UNKNOWN:
            if not failure.recoverable or before.system >= max(SYSTEM_RETRIES, policy.retries):
                return None
            return _grown(_SYSTEM_BACKOFF, 2.0, before.system, _SYSTEM_BACKOFF_CAP)
        case FailureKind.PREEMPTION:
            return timedelta(0) if before.preemption < PREEMPTION_RETRIES else None


def _grown(base: timedelta, factor: float, times: int, cap: timedelta) -> timedelta:
    """Return ``base * factor ** times``, at most ``cap`` (a zero cap means one day)."""
    most = cap or timedelta(days=1)
    if not base:
        return base
    try:
        grown = base * factor**times
    except (OverflowError, ValueError):  # larger than a timedelta holds, or NaN
        return most
    return max(min(grown, most), timedelta(0))
