"""
What a report does to an attempt, and what an attempt's end does to its action.

Budgets are separate and never refilled: a task's own retries for what its code did wrong, at
least a few for what the system did wrong, more for pre-emptions that nobody is to blame for.
An error that says trying again is no use is not tried again, whoever is to blame.
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
"""At least; a task that asks for more retries gets those."""
PREEMPTION_RETRIES = 20
_SYSTEM_BACKOFF = timedelta(seconds=1)
_SYSTEM_BACKOFF_CAP = timedelta(minutes=2)

_BAD_ENDS = frozenset({Phase.FAILED, Phase.TIMED_OUT, Phase.ABORTED})

INTERRUPTED = Failure(
    code="Interrupted",
    kind=FailureKind.SYSTEM,
    message="The attempt was stopped though nobody asked for that: its agent went away.",
)


PREEMPTED = Failure(
    code="Preempted",
    kind=FailureKind.PREEMPTION,
    message="The attempt was stopped so that its cluster could be emptied.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How often an action has failed, and of what."""

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
    """One leased attempt as the store has it, with what decides on its future."""

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
    """What becomes of the action's place among the dispatches."""

    KEEP = auto()
    RETRY = auto()  # it waits again, for its next attempt
    END = auto()  # nothing is left to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a batch of reports comes to for one attempt."""

    state: AttemptState
    applied: Sequence[Report]  # the reports that were news, oldest first
    next_step: Next
    available_at: datetime | None = None  # of the next attempt


def apply(state: AttemptState, reports: Iterable[Report], now: datetime) -> Outcome:
    """
    Take in the reports of one attempt that are news; what is known changes nothing.

    A phase that cannot follow is kept in the history and moves nothing. Instants are kept
    between the lease and ``now``: an agent's clock writes neither the past nor the future.
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
    """Decide what follows the attempt's end for its action."""
    if state.phase is Phase.ABORTED and not state.stop_requested:
        state = replace(state, phase=Phase.FAILED, failure=state.failure or INTERRUPTED)
    if state.action_phase in TERMINAL:  # aborted, and this was the last of it
        return Outcome(state=state, applied=applied, next_step=Next.END)
    if state.phase is Phase.ABORTED:  # stopped, though the action is wanted: for its cluster's sake
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
    """Say how long to wait before trying again; None when the budget is spent."""
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
    """Return ``base * factor ** times``, at most ``cap`` (zero: a day)."""
    most = cap or timedelta(days=1)
    if not base:
        return base
    try:
        grown = base * factor**times
    except (OverflowError, ValueError):  # beyond all measure, or not a number
        return most
    return max(min(grown, most), timedelta(0))
