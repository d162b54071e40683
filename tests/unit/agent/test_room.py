"""How much more the agent asks for."""

from datetime import timedelta

import pytest

from dataplane.agent.core import limits
from dataplane.agent.core.room import Load, count_slots, default_slots, room
from tests.unit.agent.assignments import make_assignment

PLENTY = 8 * 2**30
GIB = 2**30


def make_load(
    processes: int = 0,
    inline: int = 0,
    arriving: int = 0,
    still_for: timedelta = timedelta(0),
    free_memory: int = PLENTY,
) -> Load:
    return Load(
        processes=processes,
        inline=inline,
        arriving=arriving,
        still_for=still_for,
        free_memory=free_memory,
    )


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (make_load(), 10),
        (make_load(processes=4), 6),
        (make_load(processes=4, arriving=3), 3),
        (make_load(processes=12), 0),
        (make_load(inline=limits.INLINE_AT_ONCE), 0),
        (make_load(inline=limits.INLINE_AT_ONCE - 2), 2),
        (make_load(free_memory=limits.MEMORY_FLOOR - 1), 0),
    ],
    ids=["idle", "busy", "arriving", "over", "inline-full", "inline-nearly", "no-memory"],
)
def test_room_is_what_the_tightest_bound_leaves(load: Load, expected: int) -> None:
    assert room(load, slots=10) == expected


def test_when_every_slot_is_taken_and_nothing_moves_one_more_is_asked_for() -> None:
    still = make_load(processes=10, still_for=limits.STALLED_AFTER)

    assert room(still, slots=10) == 1
    assert room(make_load(processes=10), slots=10) == 0


def test_even_a_standstill_does_not_ask_for_more_than_memory_allows() -> None:
    still = make_load(processes=10, still_for=limits.STALLED_AFTER, free_memory=0)

    assert room(still, slots=10) == 0


def test_a_parent_whose_child_runs_here_takes_no_slot() -> None:
    parent, child, other = (
        make_assignment(1),
        make_assignment(2, parent="a1"),
        make_assignment(3, parent="a9"),
    )

    assert count_slots([parent]) == 1
    assert count_slots([parent, child]) == 1
    assert count_slots([parent, child, other]) == 2


@pytest.mark.parametrize(("memory", "slots"), [(GIB // 2, 4), (16 * GIB, 64), (512 * GIB, 256)])
def test_slots_go_by_memory(memory: int, slots: int) -> None:
    assert default_slots(memory) == slots
