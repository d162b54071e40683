"""
Why an action is where it is, now and for each second since it was enqueued.

Facts in, reasons out. A timeline is made of marks: from this instant on, this was so. Marks
that contradict each other (clocks differ) are put in order, so that a timeline has neither
gaps nor overlaps whatever it is made of. While an action waits, what stood in its way is
looked up in the record of obstacles; while a cluster has it, whether that was heard.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from controlplane.core.actions import ActionType
from controlplane.core.facts import (
    MOST_AHEAD,
    ActionFacts,
    Ahead,
    AttemptFacts,
    DispatchFacts,
    Said,
    places,
)
from controlplane.core.obstacles import Obstacle, PastObstacle, Place, Scope
from controlplane.core.reasons import Reason
from shared.model.ids import ActionKey
from shared.model.phases import TERMINAL, Phase

# Of several obstacles the one that has to go first: room is no use without a cluster.
_GRAVEST = (
    Reason.NO_CLUSTER,
    Reason.DEADLOCK,
    Reason.QUEUE_LIMIT,
    Reason.RUN_LIMIT,
    Reason.NO_CREDIT,
)

_BY_PHASE: Mapping[Phase, Reason] = {
    Phase.QUEUED: Reason.ACCEPTED_NOT_STARTED,
    Phase.WAITING_FOR_RESOURCES: Reason.WAITING_FOR_RESOURCES,
    Phase.INITIALIZING: Reason.INITIALIZING,
    Phase.RUNNING: Reason.RUNNING,
    Phase.PAUSED: Reason.SIGNAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One reason for machines, one sentence for people."""

    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From when until when it was so."""

    reason: Reason
    sentence: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """An action's reason now, and for all the time before."""

    action: ActionKey
    phase: Phase
    attempt: int
    now: Explanation
    as_of: datetime
    timeline: Sequence[Interval]


def explain(
    facts: ActionFacts,
    obstacles: Mapping[Place, Obstacle],
    now: datetime,
    *,
    ahead: Ahead | None = None,
    is_full: bool = False,
) -> Explained:
    """
    Explain one action. ``obstacles`` are those of now; ``ahead`` is for one that waits;
    ``is_full``: its queue takes no more actions.
    """
    return Explained(
        action=facts.action,
        phase=facts.phase,
        attempt=facts.dispatch.attempt if facts.dispatch else max(len(facts.attempts), 1),
        now=_of_now(facts, obstacles, now, ahead=ahead, is_full=is_full),
        as_of=now,
        timeline=timeline(facts, now),
    )


def _of_now(
    facts: ActionFacts,
    obstacles: Mapping[Place, Obstacle],
    now: datetime,
    *,
    ahead: Ahead | None,
    is_full: bool,
) -> Explanation:
    if facts.phase in TERMINAL:
        return Explanation(reason=Reason.ENDED, sentence=_how_it_ended(facts))
    if Phase.UNKNOWN is facts.phase or facts.type is ActionType.UNKNOWN:
        return _UNREADABLE
    if facts.type is ActionType.CONDITION:
        return Explanation(reason=Reason.SIGNAL, sentence="It waits for an answer.")
    if facts.dispatch is None:
        return Explanation(reason=Reason.RUNNING, sentence="It is under way.")
    return explain_dispatch(facts.dispatch, obstacles, now, ahead=ahead, is_full=is_full)


def explain_dispatch(
    dispatch: DispatchFacts,
    obstacles: Mapping[Place, Obstacle],
    now: datetime,
    *,
    ahead: Ahead | None = None,
    is_full: bool = False,
) -> Explanation:
    """Say why an action that is not done with is where it is now."""
    if dispatch.cluster is None:
        if dispatch.available_at > now:
            return _backoff(dispatch.attempt, dispatch.available_at)
        return _held_up([obstacles[at] for at in dispatch.places() if at in obstacles]) or (
            Explanation(reason=Reason.FAIRNESS, sentence=_whose_turn(ahead))
        )
    if dispatch.stop_reason is not None:
        return Explanation(
            reason=Reason.STOPPING,
            sentence=f"Cluster {dispatch.cluster} is to stop it: {dispatch.stop_reason}.",
        )
    silent = obstacles.get(Place(Scope.CLUSTER, dispatch.cluster))
    if silent is not None:
        return Explanation(reason=silent.reason, sentence=silent.message)
    if dispatch.accepted_at is None:
        return _leased(dispatch.cluster)
    found = _accepted(dispatch.cluster) if dispatch.said is None else _said(dispatch.said)
    if found.reason is Reason.RUNNING and is_full:
        return Explanation(
            reason=Reason.QUEUE_FULL,
            sentence=f"It is running; queue {dispatch.queue} is full, so the actions it "
            "enqueues are refused, and enqueued again by the SDK, until there is room.",
        )
    return found


@dataclass(frozen=True, slots=True)
class _Mark:
    """From then on it was so; ``cluster`` holds it, None: it waits."""

    at: datetime
    what: Explanation
    cluster: str | None = None
    waits: bool = False  # what stood in the way is on record


_WAITS = Explanation(
    reason=Reason.FAIRNESS,
    sentence="It waited its turn; there was room, shared by all that waited.",
)


_UNREADABLE = Explanation(
    reason=Reason.UNKNOWN,
    sentence="A later release of Volary wrote it, and this one cannot read it; "
    "finish the upgrade, then ask again.",
)


def timeline(facts: ActionFacts, now: datetime) -> Sequence[Interval]:
    """Account for all the time from the action's enqueueing to its end, or to ``now``."""
    start, end = facts.created_at, facts.ended_at or now
    marks = list(_marks(facts))
    intervals: list[Interval] = []
    for mark, began, ended in _stretches(marks, start, max(start, end)):
        if mark.waits:
            where = places(pool=facts.pool, queue=facts.queue, run=facts.run, is_root=facts.is_root)
        elif mark.cluster is not None:
            where = [Place(Scope.CLUSTER, mark.cluster)]
        else:
            where = []
        past = [each for each in facts.past if each.place in where]
        intervals.extend(_split(mark.what, began, ended, past))
    return _joined(intervals)


def _marks(facts: ActionFacts) -> Iterable[_Mark]:
    match facts.type:
        case ActionType.CONDITION:
            what = Explanation(reason=Reason.SIGNAL, sentence="It waited for an answer.")
            yield _Mark(facts.created_at, what)
            return
        case ActionType.TRACE:
            what = Explanation(reason=Reason.RUNNING, sentence="It ran in its parent's process.")
            yield _Mark(facts.created_at, what)
            return
        case ActionType.UNKNOWN:
            yield _Mark(facts.created_at, _UNREADABLE)
            return
        case ActionType.TASK:
            pass
    attempts = sorted(facts.attempts, key=lambda each: each.number)
    dispatch = facts.dispatch
    waiting = dispatch if dispatch is not None and dispatch.cluster is None else None
    waits_from = facts.created_at
    for attempt in attempts:
        went_back = waiting is not None and waiting.attempt == attempt.number
        yield from _in_order(_marks_of(attempt, waits_from, went_back=went_back))
        waits_from = attempt.ended_at or waits_from
    if not attempts:
        yield _Mark(facts.created_at, _WAITS, waits=True)
    elif waiting is not None and waiting.attempt > attempts[-1].number:
        yield from _waiting(waiting.attempt, waits_from, waiting.available_at)


def _marks_of(attempt: AttemptFacts, waits_from: datetime, *, went_back: bool) -> Iterable[_Mark]:
    yield from _waiting(attempt.number, waits_from, attempt.available_at)
    for lease in attempt.returned:
        yield _Mark(lease.leased_at, _leased(lease.cluster), lease.cluster)
        yield _Mark(lease.returned_at, _WAITS, waits=True)
    if went_back or any(lease.leased_at == attempt.leased_at for lease in attempt.returned):
        return  # and was not leased again since
    cluster = attempt.cluster
    yield _Mark(attempt.leased_at, _leased(cluster), cluster)
    if attempt.accepted_at is not None:
        yield _Mark(attempt.accepted_at, _accepted(cluster), cluster)
    for said in attempt.said:
        if said.phase not in TERMINAL:
            yield _Mark(said.at, _said(said), cluster)


def _waiting(number: int, since: datetime, available_at: datetime) -> Iterable[_Mark]:
    if available_at > since:
        yield _Mark(since, _backoff(number, available_at))
    yield _Mark(max(since, available_at), _WAITS, waits=True)


def _in_order(marks: Iterable[_Mark]) -> Iterable[_Mark]:
    """What came first is marked first; of two at once the one named later is what followed."""
    return sorted(marks, key=lambda mark: mark.at)


def _stretches(
    marks: Sequence[_Mark], start: datetime, end: datetime
) -> Iterable[tuple[_Mark, datetime, datetime]]:
    """Cut the time from start to end at the marks; each ends where the next begins."""
    at = start
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        until = end if following is None else min(max(following.at, at), end)
        yield mark, at, until
        at = until


def _split(
    what: Explanation, start: datetime, end: datetime, past: Sequence[PastObstacle]
) -> Iterable[Interval]:
    """Cut a stretch where obstacles came and went, and name the gravest of each part."""
    cuts = {start, end}
    for each in past:
        cuts |= {at for at in (each.began_at, each.ended_at) if at is not None and start < at < end}
    ordered = sorted(cuts)
    for began, ended in pairwise(ordered):
        there = [
            Obstacle(reason=each.reason, message=each.message)
            for each in past
            if each.began_at <= began and (each.ended_at is None or each.ended_at > began)
        ]
        found = _held_up(there) or what
        yield Interval(
            reason=found.reason, sentence=found.sentence, started_at=began, ended_at=ended
        )


def _joined(intervals: Iterable[Interval]) -> Sequence[Interval]:
    """Join neighbours of one reason; the later sentence knows more."""
    joined: list[Interval] = []
    for each in intervals:
        if joined and joined[-1].reason is each.reason:
            joined[-1] = replace(each, started_at=joined[-1].started_at)
        else:
            joined.append(each)
    return joined


def _held_up(obstacles: Sequence[Obstacle]) -> Explanation | None:
    def gravity(obstacle: Obstacle) -> int:
        return _GRAVEST.index(obstacle.reason) if obstacle.reason in _GRAVEST else len(_GRAVEST)

    if not obstacles:
        return None
    found = min(obstacles, key=gravity)
    return Explanation(reason=found.reason, sentence=found.message)


def _backoff(number: int, until: datetime) -> Explanation:
    return Explanation(
        reason=Reason.BACKOFF,
        sentence=f"Attempt {number} may not begin before {until:%Y-%m-%d %H:%M:%S} UTC, "
        "by its task's backoff.",
    )


def _leased(cluster: str) -> Explanation:
    return Explanation(
        reason=Reason.LEASED_NOT_ACCEPTED,
        sentence=f"It was sent to cluster {cluster}, whose agent has not accepted it yet.",
    )


def _accepted(cluster: str) -> Explanation:
    return Explanation(
        reason=Reason.ACCEPTED_NOT_STARTED,
        sentence=f"The agent of cluster {cluster} has accepted it and reported no start yet.",
    )


def _said(said: Said) -> Explanation:
    reason = _BY_PHASE.get(said.phase, Reason.RUNNING)
    word = said.reason.lower()
    if reason is not Reason.RUNNING:
        if "image" in word or word == "pulling":
            reason = Reason.IMAGE
        elif "unschedulable" in word or "failedscheduling" in word:
            reason = Reason.UNSCHEDULABLE
    told = said.message or said.reason
    if reason is Reason.RUNNING and not told:
        return Explanation(reason=reason, sentence="It is running.")
    phase = said.phase.name.lower().replace("_", " ")
    return Explanation(
        reason=reason, sentence=f"Its cluster says: {phase}{f', {told}' if told else ''}."
    )


def _whose_turn(ahead: Ahead | None) -> str:
    if ahead is None:
        return "It waits its turn; there is room, shared by all that waits."
    if not (ahead.more_urgent or ahead.of_its_run or ahead.beside_it):
        return "It is next; a cluster has room, and will be given it within moments."
    return (
        f"It waits its turn: {_count(ahead.more_urgent)} more urgent and "
        f"{_count(ahead.of_its_run)} of its own run go first, and room is shared with "
        f"{_count(ahead.beside_it)} of other runs."
    )


def _count(number: int) -> str:
    return f"more than {MOST_AHEAD:,}" if number > MOST_AHEAD else str(number)


def _how_it_ended(facts: ActionFacts) -> str:
    ended = f"It ended {facts.phase.name}"
    if facts.failure is not None:
        ended += f", {facts.failure.code}: {facts.failure.message.strip().rstrip('.')}"
    elif facts.abort_reason:
        ended += f": {facts.abort_reason}" + (f" ({facts.aborted_by})" if facts.aborted_by else "")
    if facts.dispatch is not None and facts.dispatch.cluster is not None:
        ended += f"; cluster {facts.dispatch.cluster} has not yet said that nothing of it runs"
    return f"{ended}."
