"""
Whose turn it is: how the room that clusters have is shared among what waits.

Of what is most urgent, runs take turns. Whoever claims goes round them and begins each time
after the one it served last, so a run with 50,000 actions and a run with one wait for the
same thing: their turn. What a limit holds back is passed over and holds up nobody else.

A parent hands its place in a limit to its children while it waits for them (``Handover``):
where a limit leaves no room, a child may still go in its parent's place.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shared.model.ids import ActionId, RunId

FIRST = RunId(UUID(int=0))
LAST = RunId(UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True, order=True)
class SubQueue:
    """What waits side by side: of one queue, held back by the same limits or by none."""

    limited: bool
    queue: str
    is_root: bool  # root actions count as runs; the others as their run's actions


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """One run's place in a lane."""

    sub_queue: SubQueue
    run: RunId


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A part of a lane: the runs past ``after``, up to and with ``until``."""

    sub_queue: SubQueue
    after: RunId = FIRST
    until: RunId = LAST


@dataclass(frozen=True, slots=True)
class _Search:
    """A round that has found nobody who may go, as far as it has come."""

    first: Candidate  # that it looked at
    next_at: datetime | None  # when somebody may go of those it has passed over


@dataclass(slots=True)
class FairScheduler:
    """Where each round stands, by urgency; kept by one who claims."""

    _cursors: dict[int, Candidate] = field(default_factory=dict)
    _searches: dict[int, _Search] = field(default_factory=dict)

    def key_ranges(self, urgency: int, sub_queues: Sequence[SubQueue]) -> Sequence[KeyRange]:
        """Put the lanes in the order of this round: it ends where the last one was served."""
        ordered = sorted(sub_queues)
        mark_dispatched = self._cursors.get(urgency)
        if mark_dispatched is None:
            return [KeyRange(sub_queue) for sub_queue in ordered]
        before = [
            KeyRange(sub_queue) for sub_queue in ordered if sub_queue < mark_dispatched.sub_queue
        ]
        after = [
            KeyRange(sub_queue) for sub_queue in ordered if sub_queue > mark_dispatched.sub_queue
        ]
        if mark_dispatched.sub_queue not in ordered:
            return [*after, *before]
        return [
            KeyRange(mark_dispatched.sub_queue, after=mark_dispatched.run),
            *after,
            *before,
            KeyRange(mark_dispatched.sub_queue, until=mark_dispatched.run),
        ]

    def in_order(self, urgency: int, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Sort turns by when this round comes to them."""
        mark_dispatched = self._cursors.get(urgency)
        return sorted(
            set(candidates),
            key=lambda candidate: (
                mark_dispatched is not None and candidate <= mark_dispatched,
                candidate,
            ),
        )

    def mark_dispatched(self, urgency: int, candidate: Candidate) -> None:
        """Begin the next round after ``candidate``."""
        self._cursors[urgency] = candidate
        self._searches.pop(urgency, None)

    def skip(
        self,
        urgency: int,
        waiting: Sequence[tuple[Candidate, datetime]],
        *,
        page_size: int,
        now: datetime,
    ) -> datetime | None:
        """
        Go on behind these turns, none of which may go, whatever its instant says.

        Returns when it is worth to look again, None if only when told. Of ``page_size`` turns there
        may be more behind: it is ``now``, until a whole round has found nobody.
        """
        next_at = min((at for _, at in waiting if at > now), default=None)
        search = self._searches.pop(urgency, None)
        if len(waiting) < page_size:
            return next_at
        before, last = self._cursors.get(urgency), waiting[-1][0]
        self._cursors[urgency] = last
        if search is None:
            self._searches[urgency] = _Search(waiting[0][0], next_at)
            return now
        next_at = min((at for at in (next_at, search.next_at) if at is not None), default=None)
        if before is not None and _is_reached(search.first, before, last):
            return next_at
        self._searches[urgency] = _Search(search.first, next_at)
        return now

    def reset_skips(self) -> None:
        """Pass over nobody unseen: some of those who could not go may be able to now."""
        self._searches.clear()


def _is_reached(candidate: Candidate, after: Candidate, until: Candidate) -> bool:
    """Whether a round comes by ``candidate`` on its way from ``after`` to ``until``."""
    if after < until:
        return after < candidate <= until
    return candidate > after or candidate <= until


@dataclass(slots=True, kw_only=True)
class QueueQuota:
    """How much more of a queue may be under way; None is no limit."""

    actions: int | None = None
    runs: int | None = None


def has_quota(sub_queue: SubQueue, queues: Mapping[str, QueueQuota]) -> bool:
    """Whether the lane's queue lets anything more go."""
    return _remaining(sub_queue, queues) != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A parent's place, which one of its children that wait in ``candidate`` may take."""

    candidate: Candidate
    parent: ActionId
    in_queue: bool  # the parent's place in the limit of the turn's queue
    in_run: bool  # the parent's place in the limit of the turn's run
    available_at: datetime  # of the child that has waited longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What each turn gets: so many that have waited longest, and children of these parents."""

    count: Mapping[Candidate, int]
    handovers: Sequence[Handover]
    last: Candidate | None  # that got something


def allocate(
    candidates: Sequence[Candidate],
    *,
    most: int,
    queues: Mapping[str, QueueQuota],
    runs: Mapping[RunId, int],
    handovers: Sequence[Handover] = (),
) -> Shares:
    """
    Deal out ``most`` places, one at a time, in the order of the turns.

    ``runs`` says how many more actions of a run may be under way; who is not in it, and a
    queue not in ``queues``, has no limit. A root needs no place in its own run. A turn's
    handovers go first, because they use up less of the limits.
    """
    count = dict.fromkeys(candidates, 0)
    handed: list[Handover] = []
    by_turn: defaultdict[Candidate, deque[Handover]] = defaultdict(deque)
    for handover in handovers:
        by_turn[handover.candidate].append(handover)
    rooms = _Rooms(
        queues={
            name: QueueQuota(actions=quota.actions, runs=quota.runs)
            for name, quota in queues.items()
        },
        runs=dict(runs),
    )
    got = set[Candidate]()
    going = list(candidates)
    while going and most:
        still: list[Candidate] = []
        for candidate in going:
            if not most:
                break
            taken_over = rooms.take_over(by_turn[candidate])
            if taken_over is not None:
                handed.append(taken_over)
            elif rooms.take(candidate):
                count[candidate] += 1
            else:
                continue
            most -= 1
            got.add(candidate)
            if not candidate.sub_queue.is_root:  # a run has one root
                still.append(candidate)
        going = still
    return Shares(
        count={candidate: number for candidate, number in count.items() if number},
        handovers=handed,
        last=next((candidate for candidate in reversed(candidates) if candidate in got), None),
    )


@dataclass(slots=True, kw_only=True)
class _Rooms:
    """What the limits leave while it is dealt out."""

    queues: dict[str, QueueQuota]
    runs: dict[RunId, int]
    _gave_in_run: set[ActionId] = field(default_factory=set)

    def take(self, candidate: Candidate) -> bool:
        """Take one place, if every limit has one left."""
        return self._take(candidate, in_queue=False, in_run=False)

    def take_over(self, handovers: deque[Handover]) -> Handover | None:
        """Take the first parent's place that will do; those before it never will."""
        while handovers:
            handover = handovers.popleft()
            in_run = handover.in_run and handover.parent not in self._gave_in_run
            if self._take(handover.candidate, in_queue=handover.in_queue, in_run=in_run):
                self._gave_in_run.add(handover.parent)
                return handover
        return None

    def _take(self, candidate: Candidate, *, in_queue: bool, in_run: bool) -> bool:
        """``in_queue``, ``in_run``: this limit's place is the parent's."""
        sub_queue = candidate.sub_queue
        if not sub_queue.limited:
            return True
        if not in_queue and _remaining(sub_queue, self.queues) == 0:
            return False
        needs_run = not (in_run or sub_queue.is_root) and candidate.run in self.runs
        if needs_run and self.runs[candidate.run] <= 0:
            return False
        quota = self.queues.get(sub_queue.queue)
        if quota is not None and quota.actions is not None and not in_queue:
            quota.actions -= 1
        if quota is not None and sub_queue.is_root and quota.runs is not None:
            quota.runs -= 1
        if needs_run:
            self.runs[candidate.run] -= 1
        return True


def _remaining(sub_queue: SubQueue, queues: Mapping[str, QueueQuota]) -> int | None:
    quota = queues.get(sub_queue.queue)
    if quota is None or not sub_queue.limited:
        return None
    limits = [quota.actions, quota.runs if sub_queue.is_root else None]
    remaining = [max(0, limit) for limit in limits if limit is not None]
    return min(remaining) if remaining else None
