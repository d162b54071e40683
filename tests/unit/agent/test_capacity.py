"""Tests of the capacity that the agent announces."""

from datetime import timedelta

import pytest

from dataplane.agent.core.capacity import (
    INLINE_AT_ONCE,
    MEMORY_FLOOR,
    STALLED_AFTER,
    Load,
    Slots,
    capacity,
    default_slots,
)
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
        (make_load(inline=INLINE_AT_ONCE), 0),
        (make_load(inline=INLINE_AT_ONCE - 2), 2),
        (make_load(free_memory=MEMORY_FLOOR - 1), 0),
    ],
    ids=["idle", "busy", "arriving", "over", "inline-full", "inline-nearly", "no-memory"],
)
def test_capacity_is_set_by_tightest_limit(load: Load, expected: int) -> None:
    assert capacity(load, slots=10) == expected


def test_capacity_is_one_when_all_slots_are_stalled() -> None:
    still = make_load(processes=10, still_for=STALLED_AFTER)

    assert capacity(still, slots=10) == 1
    assert capacity(make_load(processes=10), slots=10) == 0


def test_capacity_is_zero_below_memory_floor_even_when_stalled() -> None:
    still = make_load(processes=10, still_for=STALLED_AFTER, free_memory=0)

    assert capacity(still, slots=10) == 0


def test_parent_of_running_child_takes_no_slot() -> None:
    parent, child, other = (
        make_assignment(1),
        make_assignment(2, parent="a1"),
        make_assignment(3, parent="a9"),
    )
    slots = Slots()
    taken = []
    for step, assignment in (
        *((slots.add, each) for each in (parent, child, other)),
        *((slots.remove, each) for each in (child, parent, other)),
    ):
        step(assignment)
        taken.append((slots.taken, len(slots)))

    assert taken == [(1, 1), (1, 2), (2, 3), (2, 2), (1, 1), (0, 0)]


def test_child_added_before_parent_frees_parents_slot() -> None:
    slots = Slots()
    slots.add(make_assignment(2, parent="a1"))
    slots.add(make_assignment(1))

    assert slots.taken == 1


@pytest.mark.parametrize(("memory", "slots"), [(GIB // 2, 4), (16 * GIB, 64), (512 * GIB, 256)])
def test_default_slots_follow_memory(memory: int, slots: int) -> None:
    assert default_slots(memory) == slots
