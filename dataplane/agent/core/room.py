"""
How much more the agent asks for.

What it accepts it starts, so it never hoards; this number is the only brake. Three things
make it: how many attempts without a process run, how many processes run, how much memory
is left. The second is soft, because parents wait for their children in a process: a
fixed number of slots, all taken by parents, would starve the very children they wait for.
So an attempt that has children here takes no slot, and while every slot is taken and
nothing moves, one more is asked for at a time, as long as there is memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from dataplane.agent.core import limits
from shared.model.assignments import Assignment
from shared.model.ids import ActionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What bears on the agent now."""

    processes: int  # attempts that take a slot
    inline: int  # attempts that need no process
    arriving: int  # assignments received and not yet one or the other
    still_for: timedelta  # since a process started or ended
    free_memory: int  # bytes available on the machine


def room(load: Load, slots: int) -> int:
    """Return how many more assignments may come now."""
    if load.free_memory < limits.MEMORY_FLOOR:
        return 0
    by_inline = limits.INLINE_AT_ONCE - load.inline - load.arriving
    by_process = slots - load.processes - load.arriving
    if by_process <= 0 and load.arriving == 0 and load.still_for >= limits.STALLED_AFTER:
        by_process = 1
    return max(0, min(by_inline, by_process))


def count_slots(running: Iterable[Assignment]) -> int:
    """Count the slots that running processes take; a parent of one of them takes none."""
    assignments = list(running)
    parents = {
        ActionKey(assignment.key.run, assignment.parent)
        for assignment in assignments
        if assignment.parent is not None
    }
    return sum(assignment.key not in parents for assignment in assignments)


def default_slots(memory: int) -> int:
    """Return one slot for each 256 MiB of the machine's memory, 4 to 256."""
    return max(4, min(256, memory // (256 * 1024 * 1024)))
