"""
Whose turn it is: how the room that clusters have is shared among what waits.

Of what is most urgent, runs take turns. Whoever claims goes round them and begins each time
after the one it served last, so a run with 50,000 actions and a run with one wait for the
same thing: their turn. What a limit holds back is passed over and holds up nobody else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shared.model.ids import RunId

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


def share(
    turns: Sequence[Turn],
    *,
    most: int,
    queues: Mapping[str, QueueRoom],
    runs: Mapping[RunId, int],
) -> Mapping[Turn, int]:
    """
    Deal out ``most`` places, one at a time, in the order of the turns.

    ``runs`` says how many more actions of a run may be under way; who is not in it, and a
    queue not in ``queues``, has no limit. A root needs no place in its own run.
    """
    dealt = dict.fromkeys(turns, 0)
    left = {name: QueueRoom(actions=room.actions, runs=room.runs) for name, room in queues.items()}
    room_in_runs = dict(runs)
    going = list(turns)
    while going and most:
        still: list[Turn] = []
        for turn in going:
            if most and _take(turn, left, room_in_runs):
                dealt[turn] += 1
                most -= 1
                if not turn.lane.is_root:  # a run has one root
                    still.append(turn)
        going = still
    return {turn: places for turn, places in dealt.items() if places}


def _take(turn: Turn, queues: Mapping[str, QueueRoom], runs: dict[RunId, int]) -> bool:
    """Take one place, if every limit has one left."""
    lane = turn.lane
    if not lane.limited:
        return True
    if _queue_room(lane, queues) == 0 or (not lane.is_root and runs.get(turn.run, 1) <= 0):
        return False
    room = queues.get(lane.queue)
    if room is not None and room.actions is not None:
        room.actions -= 1
    if room is not None and lane.is_root and room.runs is not None:
        room.runs -= 1
    if not lane.is_root and turn.run in runs:
        runs[turn.run] -= 1
    return True


def _queue_room(lane: Lane, queues: Mapping[str, QueueRoom]) -> int | None:
    room = queues.get(lane.queue)
    if room is None or not lane.limited:
        return None
    limits = [room.actions, room.runs if lane.is_root else None]
    left = [max(0, limit) for limit in limits if limit is not None]
    return min(left) if left else None
