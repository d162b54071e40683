"""
The critical path of a run: the chain of actions that it took as long as. PURE.

It is walked from the end: what an action did last is its child that ended last; before that child
was enqueued, the action itself ran, or another child that had ended by then. Each part of the path
is then explained by the timeline of its action, so waiting has its reasons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.core.explanations import Interval
from controlplane.core.reason_codes import Reason
from shared.model.ids import ActionId, ActionName

MAX_STEPS = 500
"""Steps of a path; a longer one is cut at its beginning."""
_MOST_SHARES = 4  # in the sentence
_RAN = "It was running."

_WORDS: Mapping[Reason, str] = {
    Reason.ACCEPTED_NOT_STARTED: "waited for a start on its cluster",
    Reason.BACKOFF: "waited between attempts",
    Reason.CASCADE: "waited until descendants of an ended action were aborted",
    Reason.CLUSTER_SILENT: "was on a cluster that sent no heartbeats",
    Reason.DEADLOCK: "waited in a deadlock of concurrency limits",
    Reason.ENDED: "was over",
    Reason.EQUAL_ACTION: "waited for an equal action",
    Reason.FAIRNESS: "waited for its turn among other runs",
    Reason.IMAGE: "waited for container images",
    Reason.INITIALIZING: "was initializing",
    Reason.LEASED_NOT_ACCEPTED: "waited for its cluster to accept it",
    Reason.NO_CLUSTER: "waited for a cluster that takes work",
    Reason.NO_CREDIT: "waited for free slots",
    Reason.QUEUE_FULL: "ran with a full queue",
    Reason.QUEUE_LIMIT: "waited for its queue's limit",
    Reason.RUNNING: "ran",
    Reason.RUN_LIMIT: "waited for the run's limit of actions",
    Reason.SIGNAL: "waited for a signal",
    Reason.STOPPING: "was being stopped",
    Reason.STORING_INPUTS: "waited until its inputs were stored",
    Reason.UNKNOWN: "cannot be explained by this release",
    Reason.UNSCHEDULABLE: "waited for a node",
    Reason.WAITING_FOR_RESOURCES: "waited for resources on its cluster",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """An action from its enqueue to its end, or to now."""

    id: ActionId
    name: ActionName
    title: str
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A period of the path in which the action itself determined the time."""

    action: Span
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a step with one reason."""

    action: ActionName
    title: str
    reason: Reason
    message: str
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Time of the path with one reason, and if that is running, of actions with one title."""

    reason: Reason
    title: str
    duration: timedelta
    fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """A path in order; ``truncated``: it has more steps before these."""

    message: str
    shares: Sequence[Share]
    pieces: Sequence[Piece]
    truncated: bool
    as_of: datetime


BATCH = 500
"""Children that are read at once."""


@dataclass(slots=True)
class _Frame:
    """An action on the way from the root to the current one; the path is known after ``cursor``."""

    action: Span
    cursor: datetime
    children: Sequence[Span] = ()
    is_last: bool = False  # no children are left to read
    looked_at: int = 0


class PathWalk:
    """
    Walks the critical path of a run from its end, as children are read.

    Give the children that ``wants`` asks for, until it asks for none; then ``steps`` has the path.
    """

    def __init__(self, root: Span) -> None:
        self._steps: list[Step] = []  # the last first
        self._stack = [_Frame(root, root.ended_at)]

    @property
    def steps(self) -> Sequence[Step]:
        return self._steps[::-1]

    @property
    def is_truncated(self) -> bool:
        return bool(self._stack)

    def wants(self) -> tuple[ActionId, datetime] | None:
        """Return whose children to give, and by when they had ended; None: it is done."""
        while self._stack and len(self._steps) < MAX_STEPS:
            frame = self._stack[-1]
            child = self._next_child(frame)
            if child is not None:
                self._add(frame, child.ended_at)
                frame.cursor = max(child.began_at, frame.action.began_at)
                self._stack.append(_Frame(child, child.ended_at))
            elif frame.is_last:
                self._add(frame, frame.action.began_at)
                self._stack.pop()
            else:
                return frame.action.id, frame.cursor
        return None

    def give(self, children: Sequence[Span]) -> None:
        """Take children, the last to end first; fewer than ``BATCH`` are all there are."""
        frame = self._stack[-1]
        frame.children, frame.looked_at = children, 0
        frame.is_last = len(children) < BATCH

    def _next_child(self, frame: _Frame) -> Span | None:
        """Return the child that ended last before the cursor, of those that took time."""
        while frame.looked_at < len(frame.children):
            child = frame.children[frame.looked_at]
            frame.looked_at += 1
            if child.began_at < child.ended_at <= frame.cursor:
                return child
        return None

    def _add(self, frame: _Frame, began: datetime) -> None:
        if began < frame.cursor:
            self._steps.append(Step(action=frame.action, began_at=began, ended_at=frame.cursor))


def explain_steps(
    steps: Sequence[Step], timelines: Mapping[ActionId, Sequence[Interval]]
) -> Sequence[Piece]:
    """Split steps, which are in order, by the reasons of their actions' timelines."""
    pieces: list[Piece] = []
    for step in steps:
        at = step.began_at
        for interval in timelines.get(step.action.id, ()):
            began, ended = max(interval.started_at, at), min(interval.ended_at, step.ended_at)
            if began < ended:
                _add(pieces, _piece(step, interval, at, ended))  # a timeline has no gaps
                at = ended
        if at < step.ended_at:
            ran = Interval(
                reason=Reason.RUNNING, message=_RAN, started_at=at, ended_at=step.ended_at
            )
            _add(pieces, _piece(step, ran, at, step.ended_at))
    return pieces


def summarize(pieces: Sequence[Piece], *, truncated: bool, now: datetime) -> CriticalPath:
    """Sum a path's pieces up by reason, with a sentence."""
    total = sum((each.ended_at - each.began_at for each in pieces), timedelta())
    sums: dict[tuple[Reason, str], timedelta] = {}
    for each in pieces:
        title = each.title if each.reason is Reason.RUNNING else ""
        key = (each.reason, title)
        sums[key] = sums.get(key, timedelta()) + (each.ended_at - each.began_at)
    shares = [
        Share(reason=reason, title=title, duration=duration, fraction=duration / total)
        for (reason, title), duration in sorted(sums.items(), key=lambda each: -each[1])
    ]
    return CriticalPath(
        message=_sentence(shares, total, truncated=truncated),
        shares=shares,
        pieces=pieces,
        truncated=truncated,
        as_of=now,
    )


def _piece(step: Step, interval: Interval, began: datetime, ended: datetime) -> Piece:
    return Piece(
        action=step.action.name,
        title=step.action.title,
        reason=interval.reason,
        message=interval.message,
        began_at=began,
        ended_at=ended,
    )


def _add(pieces: list[Piece], piece: Piece) -> None:
    if pieces and (pieces[-1].action, pieces[-1].reason) == (piece.action, piece.reason):
        pieces[-1] = replace(piece, began_at=pieces[-1].began_at)
    else:
        pieces.append(piece)


def _sentence(shares: Sequence[Share], total: timedelta, *, truncated: bool) -> str:
    if not shares:
        return "The run took no time yet."
    said = [
        f"{share.fraction:.0%} {f'{share.title} ' if share.title else ''}{_WORDS[share.reason]}"
        for share in shares[:_MOST_SHARES]
    ]
    rest = sum(share.fraction for share in shares[_MOST_SHARES:])
    if rest >= 0.005:
        said.append(f"{rest:.0%} other reasons")
    which = "the last " if truncated else ""
    return f"Of {which}{render_duration(total)}: {', '.join(said)}."


def render_duration(duration: timedelta) -> str:
    """Format a duration as "14m 02s"."""
    seconds = round(duration.total_seconds())
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours}h {minutes:02}m"
    if minutes:
        return f"{minutes}m {seconds:02}s"
    return f"{max(duration.total_seconds(), 0):.3g}s"
