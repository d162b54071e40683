"""We test who is served when, and that no limit is ever exceeded."""

from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given, strategies as st

from controlplane.core.turns import (
    Handover,
    Lane,
    QueueRoom,
    Rotation,
    Stretch,
    Turn,
    is_open,
    share,
)
from shared.model.ids import ActionId, RunId
from tests.factories import NOW

CHILDREN = Lane(limited=False, queue="", is_root=False)
LIMITED = Lane(limited=True, queue="q", is_root=False)
ROOTS = Lane(limited=True, queue="q", is_root=True)


def run(number: int) -> RunId:
    return RunId(UUID(int=number))


def turns_in(lane: Lane, *numbers: int) -> list[Turn]:
    return [Turn(lane, run(number)) for number in numbers]


def places(
    turns: list[Turn],
    most: int,
    *,
    queues: dict[str, QueueRoom] | None = None,
    runs: dict[RunId, int] | None = None,
) -> list[int]:
    dealt = share(turns, most=most, queues=queues or {}, runs=runs or {}).places
    return [dealt.get(turn, 0) for turn in turns]


def test_what_there_is_is_dealt_out_one_by_one() -> None:
    assert places(turns_in(CHILDREN, 1, 2, 3), 10) == [4, 3, 3]
    assert places(turns_in(CHILDREN, 1, 2, 3), 2) == [1, 1, 0]
    assert places(turns_in(CHILDREN, 1), 10) == [10]
    assert places(turns_in(CHILDREN, 1), 0) == [0]


def test_a_queue_gives_no_more_than_it_has() -> None:
    turns = turns_in(LIMITED, 1, 2)
    assert places(turns, 10, queues={"q": QueueRoom(actions=3)}) == [2, 1]
    assert places(turns, 10, queues={"q": QueueRoom(actions=-2)}) == [0, 0]


def test_a_root_counts_as_a_run_and_as_an_action() -> None:
    turns = [*turns_in(ROOTS, 1, 2, 3), *turns_in(LIMITED, 1)]
    assert places(turns, 10, queues={"q": QueueRoom(runs=2)}) == [1, 1, 0, 8]
    assert places(turns, 10, queues={"q": QueueRoom(actions=2, runs=1)}) == [1, 0, 0, 1]


def test_a_run_at_its_limit_is_passed_over_and_its_root_is_not_counted() -> None:
    turns = [*turns_in(LIMITED, 1, 2), *turns_in(ROOTS, 1)]
    assert places(turns, 10, runs={run(1): 0}) == [0, 9, 1]
    assert places(turns, 10, runs={run(1): 1, run(2): 2}) == [1, 2, 1]


def test_a_lane_is_closed_when_its_queue_is_full() -> None:
    assert is_open(LIMITED, {})
    assert is_open(LIMITED, {"q": QueueRoom(runs=0)})
    assert not is_open(ROOTS, {"q": QueueRoom(runs=0)})
    assert not is_open(LIMITED, {"q": QueueRoom(actions=0)})
    assert is_open(Lane(limited=False, queue="q", is_root=True), {"q": QueueRoom(actions=0)})


def test_a_round_begins_after_the_one_served_last_and_ends_with_it() -> None:
    rotation = Rotation()
    lanes = [CHILDREN, LIMITED, ROOTS]
    assert rotation.stretches(0, lanes) == [Stretch(lane) for lane in lanes]
    rotation.served(0, Turn(LIMITED, run(7)))
    assert rotation.stretches(0, lanes) == [
        Stretch(LIMITED, after=run(7)),
        Stretch(ROOTS),
        Stretch(CHILDREN),
        Stretch(LIMITED, until=run(7)),
    ]
    assert rotation.stretches(0, [CHILDREN, ROOTS]) == [Stretch(ROOTS), Stretch(CHILDREN)]
    assert rotation.stretches(5, lanes) == [Stretch(lane) for lane in lanes]


def look_for(rotation: Rotation, waiting: dict[Turn, datetime], *, look: int) -> datetime | None:
    """Look at the next turns of a round, of which none may go."""
    lanes = sorted({turn.lane for turn in waiting})
    order = [
        (turn, waiting[turn])
        for stretch in rotation.stretches(0, lanes)
        for turn in sorted(waiting)
        if turn.lane == stretch.lane and stretch.after < turn.run <= stretch.until
    ]
    return rotation.pass_over(0, order[:look], look=look, now=NOW)


def test_a_round_that_finds_nobody_rests_until_the_first_of_all_may_go() -> None:
    soon, later = NOW + timedelta(seconds=5), NOW + timedelta(hours=1)
    turns = [*turns_in(CHILDREN, *range(1, 6)), *turns_in(ROOTS, *range(1, 6))]
    for first in turns:  # whoever it is that may go first, and wherever the round begins
        waiting = {turn: soon if turn == first else later for turn in turns}
        for begin in turns:
            rotation = Rotation()
            rotation.served(0, begin)
            looks = [look_for(rotation, waiting, look=4) for _ in range(3)]
            assert looks == [NOW, NOW, soon]


def test_a_round_that_nothing_but_a_limit_holds_up_rests_until_it_is_told() -> None:
    rotation, waiting = Rotation(), dict.fromkeys(turns_in(LIMITED, *range(1, 11)), NOW)
    assert [look_for(rotation, waiting, look=4) for _ in range(4)] == [NOW, NOW, None, NOW]


def test_what_is_told_on_the_way_is_looked_at_in_a_whole_round() -> None:
    rotation, waiting = Rotation(), dict.fromkeys(turns_in(LIMITED, *range(1, 11)), NOW)
    assert [look_for(rotation, waiting, look=4) for _ in range(2)] == [NOW, NOW]
    rotation.look_anew()
    assert [look_for(rotation, waiting, look=4) for _ in range(3)] == [NOW, NOW, None]


def test_few_who_wait_are_a_round_at_once() -> None:
    later = NOW + timedelta(hours=1)
    assert look_for(Rotation(), dict.fromkeys(turns_in(LIMITED, 1, 2), later), look=4) == later
    assert look_for(Rotation(), {}, look=4) is None


lanes_of_tests = st.builds(
    Lane, limited=st.booleans(), queue=st.sampled_from(["", "q", "r"]), is_root=st.booleans()
)
some_turns = st.lists(
    st.builds(Turn, lane=lanes_of_tests, run=st.integers(1, 6).map(run)), unique=True
)
rooms = st.none() | st.integers(-1, 6)
some_queues = st.dictionaries(
    st.sampled_from(["q", "r"]), st.builds(QueueRoom, actions=rooms, runs=rooms)
)
some_runs = st.dictionaries(st.integers(1, 6).map(run), st.integers(-1, 6))


@given(some_turns, st.integers(0, 40), some_queues, some_runs)
def test_no_limit_is_exceeded_and_no_place_is_wasted(
    turns: list[Turn], most: int, queues: dict[str, QueueRoom], runs: dict[RunId, int]
) -> None:
    dealt = share(turns, most=most, queues=queues, runs=runs).places
    assert sum(dealt.values()) <= most
    in_queue: Counter[str] = Counter()
    roots: Counter[str] = Counter()
    in_run: Counter[RunId] = Counter()
    for turn, count in dealt.items():
        assert not turn.lane.is_root or count == 1
        if turn.lane.limited:
            in_queue[turn.lane.queue] += count
            if turn.lane.is_root:
                roots[turn.lane.queue] += count
            else:
                in_run[turn.run] += count
    for name, room in queues.items():
        assert room.actions is None or in_queue[name] <= max(0, room.actions)
        assert room.runs is None or roots[name] <= max(0, room.runs)
    assert all(in_run[of] <= max(0, left) for of, left in runs.items())
    if sum(dealt.values()) < most:  # then nobody could have had more
        assert all(turn.lane.limited or turn.lane.is_root for turn in turns)


@given(some_turns, st.integers(1, 5))
def test_whoever_waits_is_served_within_a_round(turns: list[Turn], most: int) -> None:
    """However few places a round has: no turn is served twice before all are served once."""
    rotation, lanes = Rotation(), sorted({turn.lane for turn in turns})
    served: Counter[Turn] = Counter()
    for _ in range(-(-len(turns) // most)):
        order = [
            turn
            for stretch in rotation.stretches(0, lanes)
            for turn in sorted(turns)
            if turn.lane == stretch.lane and stretch.after < turn.run <= stretch.until
        ]
        assert sorted(order) == sorted(turns)
        for turn in order[:most]:
            served[turn] += 1
            rotation.served(0, turn)
    assert set(served) == set(turns)


def handover(turn: Turn, parent: int, *, in_queue: bool = False, in_run: bool = False) -> Handover:
    return Handover(
        turn=turn,
        parent=ActionId(UUID(int=parent)),
        in_queue=in_queue,
        in_run=in_run,
        available_at=NOW,
    )


def test_handover_needs_no_room_in_the_limit_that_its_parent_has_a_place_in() -> None:
    [turn] = turns_in(LIMITED, 1)
    full, short = {"q": QueueRoom(actions=0)}, {run(1): 0}
    both = handover(turn, 7, in_queue=True, in_run=True)
    shares = share([turn], most=9, queues=full, runs=short, handovers=[both])
    assert (shares.handovers, shares.places, shares.last) == ([both], {}, turn)

    in_queue, in_run = handover(turn, 7, in_queue=True), handover(turn, 7, in_run=True)
    assert not share([turn], most=9, queues=full, runs=short, handovers=[in_queue]).handovers
    assert not share([turn], most=9, queues=full, runs=short, handovers=[in_run]).handovers
    assert share([turn], most=9, queues=full, runs={}, handovers=[in_queue]).handovers
    assert share([turn], most=9, queues={}, runs=short, handovers=[in_run]).handovers == [in_run]


def test_handover_of_one_limit_uses_up_the_room_of_the_other() -> None:
    [turn] = turns_in(LIMITED, 1)
    waiting = [handover(turn, parent, in_queue=True) for parent in range(5)]
    shares = share(
        [turn], most=9, queues={"q": QueueRoom(actions=0)}, runs={run(1): 2}, handovers=waiting
    )
    assert (shares.handovers, shares.places) == (waiting[:2], {})


def test_handover_of_a_parents_place_in_its_run_happens_once() -> None:
    first, second = Turn(LIMITED, run(1)), Turn(Lane(True, "r", False), run(1))
    waiting = [handover(turn, 7, in_run=True) for turn in (first, second)]
    shares = share([first, second], most=9, queues={}, runs={run(1): 0}, handovers=waiting)
    assert shares.handovers == waiting[:1]


def test_handovers_of_one_run_take_turns_with_other_runs() -> None:
    turns = turns_in(LIMITED, 1, 2)
    waiting = [handover(turns[0], parent, in_queue=True) for parent in range(5)]
    shares = share(turns, most=4, queues={"q": QueueRoom(actions=9)}, runs={}, handovers=waiting)
    assert (shares.handovers, shares.places) == (waiting[:2], {turns[1]: 2})


def test_round_comes_to_turns_in_the_order_of_its_stretches() -> None:
    rotation, turns = Rotation(), [*turns_in(CHILDREN, 1, 2), *turns_in(LIMITED, 1, 2)]
    assert rotation.in_order(0, reversed(turns)) == turns
    rotation.served(0, turns[1])
    assert rotation.in_order(0, turns) == [*turns[2:], *turns[:2]]
