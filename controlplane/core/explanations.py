"""
Explains why an action is pending or running, now and for each second since its enqueue.

PURE: timestamps and pending reasons in, explanations out. A timeline is built from marks, each
of which holds from its timestamp on. Marks that contradict each other (clocks differ) are
sorted, so that a timeline never has gaps or overlaps. While an action waits, the recorded
pending reasons explain it; while a cluster has it, its phase and the cluster's silences do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from controlplane.core.action_timings import (
    MOST_AHEAD,
    ActionTimings,
    Ahead,
    AttemptTimings,
    DispatchTimings,
    RefusedReport,
    ReportedEvent,
    blocked_scopes,
)
from controlplane.core.actions import ActionType
from controlplane.core.pending_reasons import (
    BlockedKind,
    BlockedScope,
    PastPendingReason,
    PendingReason,
    severity,
)
from controlplane.core.reason_codes import Reason
from shared.model.ids import ActionKey
from shared.model.phases import TERMINAL, Phase

_BY_PHASE: Mapping[Phase, Reason] = {
    Phase.QUEUED: Reason.ACCEPTED_NOT_STARTED,
    Phase.WAITING_FOR_RESOURCES: Reason.WAITING_FOR_RESOURCES,
    Phase.INITIALIZING: Reason.INITIALIZING,
    Phase.RUNNING: Reason.RUNNING,
    Phase.PAUSED: Reason.SIGNAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A reason code for machines, and a message for people."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A period of an action's timeline with one explanation."""

    reason: Reason
    message: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """An action's current explanation, and its timeline."""

    action: ActionKey
    phase: Phase
    attempt: int
    now: Explanation
    as_of: datetime
    timeline: Sequence[Interval]
    refused: Sequence[RefusedReport] = ()  # the latest, oldest first


def explain(
    timings: ActionTimings,
    pending_reasons: Mapping[BlockedScope, PendingReason],
    now: datetime,
    *,
    ahead: Ahead | None = None,
    is_full: bool = False,
) -> Explained:
    """
    Explain one action, now and over time.

    ``pending_reasons`` are the current ones; ``ahead`` is given for an action that waits;
    ``is_full``: its queue accepts no more actions.
    """
    return Explained(
        action=timings.action,
        phase=timings.phase,
        attempt=timings.dispatch.attempt if timings.dispatch else max(len(timings.attempts), 1),
        now=_of_now(timings, pending_reasons, now, ahead=ahead, is_full=is_full),
        as_of=now,
        timeline=timeline(timings, now),
        refused=timings.list_refused(),
    )


def _of_now(
    timings: ActionTimings,
    pending_reasons: Mapping[BlockedScope, PendingReason],
    now: datetime,
    *,
    ahead: Ahead | None,
    is_full: bool,
) -> Explanation:
    if timings.phase in TERMINAL:
        return Explanation(reason=Reason.ENDED, message=_how_it_ended(timings))
    if Phase.UNKNOWN is timings.phase or timings.type is ActionType.UNKNOWN:
        return _UNREADABLE
    if timings.type is ActionType.CONDITION:
        return Explanation(reason=Reason.SIGNAL, message="It waits for a signal.")
    if timings.waits_for is not None:
        return explain_waiter(timings.waits_for)
    if timings.is_tracked:
        return _TRACKED
    if timings.dispatch is None:
        return Explanation(reason=Reason.RUNNING, message="It is running.")
    return explain_dispatch(timings.dispatch, pending_reasons, now, ahead=ahead, is_full=is_full)


def explain_waiter(equal: ActionKey) -> Explanation:
    """Explain a serialized action that waits for an equal one."""
    return Explanation(
        reason=Reason.EQUAL_ACTION,
        message=f"It waits for the equal action {equal} to end, and gets its outputs.",
    )


def explain_dispatch(
    dispatch: DispatchTimings,
    pending_reasons: Mapping[BlockedScope, PendingReason],
    now: datetime,
    *,
    ahead: Ahead | None = None,
    is_full: bool = False,
) -> Explanation:
    """Explain the current state of an action that has not ended."""
    if dispatch.cluster is None:
        if dispatch.available_at > now:
            return _backoff(dispatch.attempt, dispatch.available_at)
        return _first_blocker(
            [pending_reasons[at] for at in dispatch.blocked_scopes() if at in pending_reasons]
        ) or (Explanation(reason=Reason.FAIRNESS, message=_describe_ahead(ahead)))
    if dispatch.stop_reason is not None:
        return Explanation(
            reason=Reason.STOPPING,
            message=f"Cluster {dispatch.cluster} was asked to stop it and has not confirmed yet: "
            f"{dispatch.stop_reason}.",
        )
    silent = pending_reasons.get(BlockedScope(BlockedKind.CLUSTER, dispatch.cluster))
    if silent is not None:
        return Explanation(reason=silent.reason, message=silent.message)
    if dispatch.accepted_at is None:
        return _leased(dispatch.cluster)
    reported = dispatch.reported
    found = _accepted(dispatch.cluster) if reported is None else _explain_reported(reported)
    if found.reason is Reason.RUNNING and is_full:
        return Explanation(
            reason=Reason.QUEUE_FULL,
            message=f"It is running; queue {dispatch.queue} is full, so the actions it "
            "enqueues are refused, and the SDK retries them until the queue has capacity.",
        )
    return found


@dataclass(frozen=True, slots=True)
class _Mark:
    """Explanation that holds from ``at`` on; ``cluster`` has the lease (None: it waits)."""

    at: datetime
    what: Explanation
    cluster: str | None = None
    waits: bool = False  # recorded pending reasons apply


_WAITS = Explanation(
    reason=Reason.FAIRNESS,
    message="It waited for its turn; free capacity was shared round-robin among waiting runs.",
)

_TRACKED = Explanation(
    reason=Reason.RUNNING,
    message="The program that started its run runs it, and reports it; no cluster does.",
)

_UNREADABLE = Explanation(
    reason=Reason.UNKNOWN,
    message="A later release of Volary wrote it, and this release cannot read it; "
    "finish the upgrade, then try again.",
)


def timeline(timings: ActionTimings, now: datetime) -> Sequence[Interval]:
    """Return intervals that cover the time from the action's enqueue to its end, or to ``now``."""
    start, end = timings.created_at, timings.ended_at or now
    marks = list(_marks(timings))
    intervals: list[Interval] = []
    for mark, began, ended in _periods(marks, start, max(start, end)):
        if mark.waits:
            where = blocked_scopes(
                pool=timings.pool, queue=timings.queue, run=timings.run, is_root=timings.is_root
            )
        elif mark.cluster is not None:
            where = [BlockedScope(BlockedKind.CLUSTER, mark.cluster)]
        else:
            where = []
        past = [each for each in timings.past if each.blocked in where]
        intervals.extend(_split(mark.what, began, ended, past))
    return _joined(intervals)


def _marks(timings: ActionTimings) -> Iterable[_Mark]:
    match timings.type:
        case ActionType.CONDITION:
            what = Explanation(reason=Reason.SIGNAL, message="It waited for a signal.")
            yield _Mark(timings.created_at, what)
            return
        case ActionType.TRACE:
            what = Explanation(reason=Reason.RUNNING, message="It ran in its parent's process.")
            yield _Mark(timings.created_at, what)
            return
        case ActionType.UNKNOWN:
            yield _Mark(timings.created_at, _UNREADABLE)
            return
        case ActionType.TASK:
            pass
    if timings.is_tracked:
        yield _Mark(timings.created_at, _TRACKED)
        return
    attempts = sorted(timings.attempts, key=lambda each: each.number)
    dispatch = timings.dispatch
    waiting = dispatch if dispatch is not None and dispatch.cluster is None else None
    waits_from = timings.created_at
    for attempt in attempts:
        went_back = waiting is not None and waiting.attempt == attempt.number
        yield from _in_order(_marks_of(attempt, waits_from, went_back=went_back))
        waits_from = attempt.ended_at or waits_from
    if waiting is not None and (not attempts or waiting.attempt > attempts[-1].number):
        yield from _waiting(waiting.attempt, waits_from, waiting.available_at)
    elif timings.waits_for is not None or timings.cached_from is not None:
        what = Explanation(reason=Reason.EQUAL_ACTION, message="It waited for an equal action.")
        yield _Mark(timings.created_at, what)
    elif not attempts:
        yield _Mark(timings.created_at, _WAITS, waits=True)


def _marks_of(attempt: AttemptTimings, waits_from: datetime, *, went_back: bool) -> Iterable[_Mark]:
    yield from _waiting(attempt.number, waits_from, attempt.available_at)
    for lease in attempt.returned:
        yield _Mark(lease.leased_at, _leased(lease.cluster), lease.cluster)
        yield _Mark(lease.returned_at, _WAITS, waits=True)
    if went_back or any(lease.leased_at == attempt.leased_at for lease in attempt.returned):
        return  # it was not leased again since
    cluster = attempt.cluster
    yield _Mark(attempt.leased_at, _leased(cluster), cluster)
    if attempt.accepted_at is not None:
        yield _Mark(attempt.accepted_at, _accepted(cluster), cluster)
    for reported in attempt.reported:
        if reported.phase not in TERMINAL:
            yield _Mark(reported.at, _explain_reported(reported), cluster)


def _waiting(number: int, since: datetime, available_at: datetime) -> Iterable[_Mark]:
    if available_at > since:
        yield _Mark(since, _backoff(number, available_at))
    yield _Mark(max(since, available_at), _WAITS, waits=True)


def _in_order(marks: Iterable[_Mark]) -> Iterable[_Mark]:
    """Sort marks by time; of two at once, the one yielded later is the one that followed."""
    return sorted(marks, key=lambda mark: mark.at)


def _periods(
    marks: Sequence[_Mark], start: datetime, end: datetime
) -> Iterable[tuple[_Mark, datetime, datetime]]:
    """Split the time from start to end at the marks; each period ends where the next begins."""
    at = start
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        until = end if following is None else min(max(following.at, at), end)
        yield mark, at, until
        at = until


def _split(
    what: Explanation, start: datetime, end: datetime, past: Sequence[PastPendingReason]
) -> Iterable[Interval]:
    """Split a period where pending reasons began or ended; each part gets the most severe one."""
    cuts = {start, end}
    for each in past:
        cuts |= {at for at in (each.began_at, each.ended_at) if at is not None and start < at < end}
    ordered = sorted(cuts)
    for began, ended in pairwise(ordered):
        there = [
            PendingReason(reason=each.reason, message=each.message)
            for each in past
            if each.began_at <= began and (each.ended_at is None or each.ended_at > began)
        ]
        found = _first_blocker(there) or what
        yield Interval(reason=found.reason, message=found.message, started_at=began, ended_at=ended)


def _joined(intervals: Iterable[Interval]) -> Sequence[Interval]:
    """Merge adjacent intervals with the same reason; the later message has more information."""
    joined: list[Interval] = []
    for each in intervals:
        if joined and joined[-1].reason is each.reason:
            joined[-1] = replace(each, started_at=joined[-1].started_at)
        else:
            joined.append(each)
    return joined


def _first_blocker(pending_reasons: Sequence[PendingReason]) -> Explanation | None:
    if not pending_reasons:
        return None
    found = min(pending_reasons, key=lambda each: severity(each.reason))
    return Explanation(reason=found.reason, message=found.message)


def _backoff(number: int, until: datetime) -> Explanation:
    if number == 1:  # there is no backoff before the first attempt
        return Explanation(
            reason=Reason.STORING_INPUTS,
            message="The run's inputs are being stored; it starts when they are, or at "
            f"{until:%Y-%m-%d %H:%M:%S} UTC.",
        )
    return Explanation(
        reason=Reason.BACKOFF,
        message=f"Attempt {number} starts after {until:%Y-%m-%d %H:%M:%S} UTC, "
        "by the delay between its attempts.",
    )


def _leased(cluster: str) -> Explanation:
    return Explanation(
        reason=Reason.LEASED_NOT_ACCEPTED,
        message=f"It was sent to cluster {cluster}, whose agent has not accepted it yet.",
    )


def _accepted(cluster: str) -> Explanation:
    return Explanation(
        reason=Reason.ACCEPTED_NOT_STARTED,
        message=f"The agent of cluster {cluster} has accepted it and reported no start yet.",
    )


def _explain_reported(reported: ReportedEvent) -> Explanation:
    reason = _BY_PHASE.get(reported.phase, Reason.RUNNING)
    code = reported.reason.lower()
    if reason is not Reason.RUNNING:
        if "image" in code or code == "pulling":
            reason = Reason.IMAGE
        elif "unschedulable" in code or "failedscheduling" in code:
            reason = Reason.UNSCHEDULABLE
    text = reported.message or reported.reason
    if reason is Reason.RUNNING and not text:
        return Explanation(reason=reason, message="It is running.")
    phase = reported.phase.name.lower().replace("_", " ")
    return Explanation(
        reason=reason, message=f"Its cluster reports: {phase}{f', {text}' if text else ''}."
    )


def _describe_ahead(ahead: Ahead | None) -> str:
    if ahead is None:
        return "It waits for its turn; free capacity is shared round-robin among waiting runs."
    if not (ahead.of_higher_priority or ahead.of_its_run or ahead.beside_it):
        return "It is next; a cluster has a free slot, and gets it within moments."
    return (
        f"It waits for its turn: {_count(ahead.of_higher_priority)} of a higher priority and "
        f"{_count(ahead.of_its_run)} of its own run go first, and capacity is shared with "
        f"{_count(ahead.beside_it)} of other runs."
    )


def _count(number: int) -> str:
    return f"more than {MOST_AHEAD:,}" if number > MOST_AHEAD else str(number)


def _how_it_ended(timings: ActionTimings) -> str:
    ended = f"It ended {timings.phase.name}"
    if timings.cached_from is not None:
        source = timings.cached_from
        ended += f" with the cached outputs of attempt {source.attempt} of {source.action}"
    if timings.failure is not None:
        ended += f", {timings.failure.code}: {timings.failure.message.strip().rstrip('.')}"
    elif timings.abort_reason:
        by = f" ({timings.aborted_by})" if timings.aborted_by else ""
        ended += f": {timings.abort_reason}{by}"
    if timings.dispatch is not None and timings.dispatch.cluster is not None:
        ended += f"; cluster {timings.dispatch.cluster} has not yet confirmed that it stopped"
    return f"{ended}."
