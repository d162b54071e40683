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
class Lane:
    """What waits side by side: of one queue, held back by the same limits or by none."""

    limited: bool
    queue: str
    is_root: bool  # root actions count as runs; the others as their run's actions


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """One run's place in a lane."""

    lane: Lane
    run: RunId


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a lane: the runs past ``after``, up to and with ``until``."""

    lane: Lane
    after: RunId = FIRST
    until: RunId = LAST


@dataclass(frozen=True, slots=True)
class _Search:
    """A round that has found nobody who may go, as far as it has come."""

    first: Turn  # that it looked at
    next_at: datetime | None  # when somebody may go of those it has passed over


@dataclass(slots=True)
class Rotation:
    """Where each round stands, by urgency; kept by one who claims."""

    _served: dict[int, Turn] = field(default_factory=dict)
    _searches: dict[int, _Search] = field(default_factory=dict)

    def stretches(self, urgency: int, lanes: Sequence[Lane]) -> Sequence[Stretch]:
        """Put the lanes in the order of this round: it ends where the last one was served."""
        ordered = sorted(lanes)
        served = self._served.get(urgency)
        if served is None:
            return [Stretch(lane) for lane in ordered]
        before = [Stretch(lane) for lane in ordered if lane < served.lane]
        after = [Stretch(lane) for lane in ordered if lane > served.lane]
        if served.lane not in ordered:
            return [*after, *before]
        return [
            Stretch(served.lane, after=served.run),
            *after,
            *before,
            Stretch(served.lane, until=served.run),
        ]

    def in_order(self, urgency: int, turns: Iterable[Turn]) -> list[Turn]:
        """Sort turns by when this round comes to them."""
        served = self._served.get(urgency)
        return sorted(set(turns), key=lambda turn: (served is not None and turn <= served, turn))

    def served(self, urgency: int, turn: Turn) -> None:
        """Begin the next round after ``turn``."""
        self._served[urgency] = turn
        self._searches.pop(urgency, None)

    def pass_over(
        self, urgency: int, waiting: Sequence[tuple[Turn, datetime]], *, look: int, now: datetime
    ) -> datetime | None:
        """
        Go on behind these turns, none of which may go, whatever its instant says.

        Returns when it is worth to look again, None if only when told. Of ``look`` turns there
        may be more behind: it is ``now``, until a whole round has found nobody.
        """
        next_at = min((at for _, at in waiting if at > now), default=None)
        search = self._searches.pop(urgency, None)
        if len(waiting) < look:
            return next_at
        before, last = self._served.get(urgency), waiting[-1][0]
        self._served[urgency] = last
        if search is None:
            self._searches[urgency] = _Search(waiting[0][0], next_at)
            return now
        next_at = min((at for at in (next_at, search.next_at) if at is not None), default=None)
        if before is not None and _is_reached(search.first, before, last):
            return next_at
        self._searches[urgency] = _Search(search.first, next_at)
        return now

    def look_anew(self) -> None:
        """Pass over nobody unseen: some of those who could not go may be able to now."""
        self._searches.clear()


def _is_reached(turn: Turn, after: Turn, until: Turn) -> bool:
    """Whether a round comes by ``turn`` on its way from ``after`` to ``until``."""
    if after < until:
        return after < turn <= until
    return turn > after or turn <= until


@dataclass(slots=True, kw_only=True)
class QueueRoom:
    """How much more of a queue may be under way; None is no limit."""

    actions: int | None = None
    runs: int | None = None


def is_open(lane: Lane, queues: Mapping[str, QueueRoom]) -> bool:
    """Whether the lane's queue lets anything more go."""
    return _queue_room(lane, queues) != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A parent's place, which one of its children that wait in ``turn`` may take."""

    turn: Turn
    parent: ActionId
    in_queue: bool  # the parent's place in the limit of the turn's queue
    in_run: bool  # the parent's place in the limit of the turn's run
    available_at: datetime  # of the child that has waited longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What each turn gets: so many that have waited longest, and children of these parents."""

    places: Mapping[Turn, int]
    handovers: Sequence[Handover]
    last: Turn | None  # that got something


def share(
    turns: Sequence[Turn],
    *,
    most: int,
    queues: Mapping[str, QueueRoom],
    runs: Mapping[RunId, int],
    handovers: Sequence[Handover] = (),
) -> Shares:
    """
    Deal out ``most`` places, one at a time, in the order of the turns.

    ``runs`` says how many more actions of a run may be under way; who is not in it, and a
    queue not in ``queues``, has no limit. A root needs no place in its own run. A turn's
    handovers go first, because they use up less of the limits.
    """
    places = dict.fromkeys(turns, 0)
    handed: list[Handover] = []
    by_turn: defaultdict[Turn, deque[Handover]] = defaultdict(deque)
    for handover in handovers:
        by_turn[handover.turn].append(handover)
    rooms = _Rooms(
        queues={
            name: QueueRoom(actions=room.actions, runs=room.runs) for name, room in queues.items()
        },
        runs=dict(runs),
    )
    got = set[Turn]()
    going = list(turns)
    while going and most:
        still: list[Turn] = []
        for turn in going:
            if not most:
                break
            taken_over = rooms.take_over(by_turn[turn])
            if taken_over is not None:
                handed.append(taken_over)
            elif rooms.take(turn):
                places[turn] += 1
            else:
                continue
            most -= 1
            got.add(turn)
            if not turn.lane.is_root:  # a run has one root
                still.append(turn)
        going = still
    return Shares(
        places={turn: number for turn, number in places.items() if number},
        handovers=handed,
        last=next((turn for turn in reversed(turns) if turn in got), None),
    )


@dataclass(slots=True, kw_only=True)
class _Rooms:
    """What the limits leave while it is dealt out."""

    queues: dict[str, QueueRoom]
    runs: dict[RunId, int]
    _gave_in_run: set[ActionId] = field(default_factory=set)

    def take(self, turn: Turn) -> bool:
        """Take one place, if every limit has one left."""
        return self._take(turn, in_queue=False, in_run=False)

    def take_over(self, handovers: deque[Handover]) -> Handover | None:
        """Take the first parent's place that will do; those before it never will."""
        while handovers:
            handover = handovers.popleft()
            in_run = handover.in_run and handover.parent not in self._gave_in_run
            if self._take(handover.turn, in_queue=handover.in_queue, in_run=in_run):
                self._gave_in_run.add(handover.parent)
                return handover
        return None

    def _take(self, turn: Turn, *, in_queue: bool, in_run: bool) -> bool:
        """``in_queue``, ``in_run``: this limit's place is the parent's."""
        lane = turn.lane
        if not lane.limited:
            return True
        if not in_queue and _queue_room(lane, self.queues) == 0:
            return False
        needs_run = not (in_run or lane.is_root) and turn.run in self.runs
        if needs_run and self.runs[turn.run] <= 0:
            return False
        room = self.queues.get(lane.queue)
        if room is not None and room.actions is not None and not in_queue:
            room.actions -= 1
        if room is not None and lane.is_root and room.runs is not None:
            room.runs -= 1
        if needs_run:
            self.runs[turn.run] -= 1
        return True


def _queue_room(lane: Lane, queues: Mapping[str, QueueRoom]) -> int | None:
    room = queues.get(lane.queue)
    if room is None or not lane.limited:
        return None
    limits = [room.actions, room.runs if lane.is_root else None]
    left = [max(0, limit) for limit in limits if limit is not None]
    return min(left) if left else None
