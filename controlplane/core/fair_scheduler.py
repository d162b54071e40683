"""
Fair scheduler: shares the clusters' capacity among waiting runs, round-robin.

Among actions of the highest priority, runs are served round-robin. A claim starts after the
run that was dispatched last (the cursor), so a run with 50,000 actions and a run with one
action wait equally long. A run at a concurrency limit is skipped and blocks no other.

A parent hands its slot in a limit to its children while it waits for them (``Handover``): when
a limit has no remaining quota, a child may still start in its parent's slot.
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
    """Waiting actions of one queue that are subject to the same limits, or to none."""

    limited: bool
    queue: str
    is_root: bool  # root actions count against the limit of runs; others against their run's


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """One run with actions waiting in a sub-queue."""

    sub_queue: SubQueue
    run: RunId


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A part of a sub-queue: the runs after ``after``, up to and including ``until``."""

    sub_queue: SubQueue
    after: RunId = FIRST
    until: RunId = LAST


@dataclass(frozen=True, slots=True)
class _Search:
    """Progress of a round in which every candidate so far was skipped."""

    first: Candidate  # that the round examined
    next_at: datetime | None  # when the first of the skipped candidates becomes available


@dataclass(slots=True)
class FairScheduler:
    """Round-robin cursors by priority; each claiming session has a scheduler of its own."""

    _cursors: dict[int, Candidate] = field(default_factory=dict)
    _searches: dict[int, _Search] = field(default_factory=dict)

    def key_ranges(self, priority: int, sub_queues: Sequence[SubQueue]) -> Sequence[KeyRange]:
        """Return the key ranges in round-robin order: after the cursor first, up to it last."""
        ordered = sorted(sub_queues)
        cursor = self._cursors.get(priority)
        if cursor is None:
            return [KeyRange(sub_queue) for sub_queue in ordered]
        before = [KeyRange(sub_queue) for sub_queue in ordered if sub_queue < cursor.sub_queue]
        after = [KeyRange(sub_queue) for sub_queue in ordered if sub_queue > cursor.sub_queue]
        if cursor.sub_queue not in ordered:
            return [*after, *before]
        return [
            KeyRange(cursor.sub_queue, after=cursor.run),
            *after,
            *before,
            KeyRange(cursor.sub_queue, until=cursor.run),
        ]

    def in_order(self, priority: int, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Sort candidates in round-robin order from the cursor."""
        cursor = self._cursors.get(priority)
        return sorted(
            set(candidates),
            key=lambda candidate: (cursor is not None and candidate <= cursor, candidate),
        )

    def mark_dispatched(self, priority: int, candidate: Candidate) -> None:
        """Set the cursor: the next round begins after ``candidate``."""
        self._cursors[priority] = candidate
        self._searches.pop(priority, None)

    def skip(
        self,
        priority: int,
        waiting: Sequence[tuple[Candidate, datetime]],
        *,
        page_size: int,
        now: datetime,
    ) -> datetime | None:
        """
        Move the cursor past these candidates, none of which may be dispatched now.

        ``waiting`` pairs candidates with the time at which they become available. Returns when to
        claim again; None: only after a notification. A full page (``page_size``) may have more
        candidates behind it: the answer is ``now``, until a whole round found none to dispatch.
        """
        next_at = min((at for _, at in waiting if at > now), default=None)
        search = self._searches.pop(priority, None)
        if len(waiting) < page_size:
            return next_at
        before, last = self._cursors.get(priority), waiting[-1][0]
        self._cursors[priority] = last
        if search is None:
            self._searches[priority] = _Search(waiting[0][0], next_at)
            return now
        next_at = min((at for at in (next_at, search.next_at) if at is not None), default=None)
        if before is not None and _is_reached(search.first, before, last):
            return next_at
        self._searches[priority] = _Search(search.first, next_at)
        return now

    def reset_skips(self) -> None:
        """Forget skipped candidates: after a change, some of them may be dispatched now."""
        self._searches.clear()


def _is_reached(candidate: Candidate, after: Candidate, until: Candidate) -> bool:
    """Return whether a round passes ``candidate`` between ``after`` and ``until``."""
    if after < until:
        return after < candidate <= until
    return candidate > after or candidate <= until


@dataclass(slots=True, kw_only=True)
class QueueQuota:
    """Remaining quota of a queue: how many more may be leased; None is no limit."""

    actions: int | None = None
    runs: int | None = None


def has_quota(sub_queue: SubQueue, queues: Mapping[str, QueueQuota]) -> bool:
    """Return whether the sub-queue's queue has quota left."""
    return _remaining(sub_queue, queues) != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A parent's slot, which one of its children that wait in ``candidate`` may use."""

    candidate: Candidate
    parent: ActionId
    in_queue: bool  # the slot counts in the limit of the candidate's queue
    in_run: bool  # the slot counts in the limit of the candidate's run
    available_at: datetime  # of the child that has waited longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Result of an allocation: slots per candidate, oldest actions first, and handovers used."""

    count: Mapping[Candidate, int]
    handovers: Sequence[Handover]
    last: Candidate | None  # that was allocated a slot


def allocate(
    candidates: Sequence[Candidate],
    *,
    most: int,
    queues: Mapping[str, QueueQuota],
    runs: Mapping[RunId, int],
    handovers: Sequence[Handover] = (),
) -> Shares:
    """
    Allocate up to ``most`` slots, one at a time, round-robin in the order of the candidates.

    ``runs`` is the remaining quota of actions per run; a run not in it, and a queue not in
    ``queues``, has no limit. A root needs no slot in its own run's limit. A candidate's handovers
    are used first, because they use up less of the limits.
    """
    count = dict.fromkeys(candidates, 0)
    handed: list[Handover] = []
    by_candidate: defaultdict[Candidate, deque[Handover]] = defaultdict(deque)
    for handover in handovers:
        by_candidate[handover.candidate].append(handover)
    remaining = _RemainingQuota(
        queues={
            name: QueueQuota(actions=quota.actions, runs=quota.runs)
            for name, quota in queues.items()
        },
        runs=dict(runs),
    )
    served = set[Candidate]()
    eligible = list(candidates)
    while eligible and most:
        still: list[Candidate] = []
        for candidate in eligible:
            if not most:
                break
            taken_over = remaining.take_over(by_candidate[candidate])
            if taken_over is not None:
                handed.append(taken_over)
            elif remaining.take(candidate):
                count[candidate] += 1
            else:
                continue
            most -= 1
            served.add(candidate)
            if not candidate.sub_queue.is_root:  # a run has one root
                still.append(candidate)
        eligible = still
    return Shares(
        count={candidate: number for candidate, number in count.items() if number},
        handovers=handed,
        last=next((candidate for candidate in reversed(candidates) if candidate in served), None),
    )


@dataclass(slots=True, kw_only=True)
class _RemainingQuota:
    """Quota left in queues and runs during an allocation."""

    queues: dict[str, QueueQuota]
    runs: dict[RunId, int]
    _gave_in_run: set[ActionId] = field(default_factory=set)

    def take(self, candidate: Candidate) -> bool:
        """Use one slot of every limit that applies; False if one of them has none left."""
        return self._take(candidate, in_queue=False, in_run=False)

    def take_over(self, handovers: deque[Handover]) -> Handover | None:
        """Use the first parent's slot that fits; drop those before it, which never will."""
        while handovers:
            handover = handovers.popleft()
            in_run = handover.in_run and handover.parent not in self._gave_in_run
            if self._take(handover.candidate, in_queue=handover.in_queue, in_run=in_run):
                self._gave_in_run.add(handover.parent)
                return handover
        return None

    def _take(self, candidate: Candidate, *, in_queue: bool, in_run: bool) -> bool:
        """Use one slot; with ``in_queue`` or ``in_run`` that limit's slot is the parent's."""
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
