"""
Computes how many more assignments the agent can take.

Accepted attempts start at once and are never queued here, so this number is the only
backpressure. It depends on how many attempts without a process run, how many processes run,
and how much memory is free. The process limit is soft, because a parent's process waits for
its children: a fixed number of slots, all taken by parents, would starve the children they
wait for. So an attempt with children on this agent takes no slot, and while all slots are
taken and no process starts or ends, the agent asks for one more at a time, as long as there
is memory.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from shared.model.assignments import Assignment
from shared.model.ids import ActionKey

INLINE_AT_ONCE = 2000  # attempts that need no process
STALLED_AFTER = timedelta(seconds=10)  # no process started or ended: ask for one more
MEMORY_FLOOR = 256 * 1024 * 1024  # less available than this: start nothing more


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Current load of the agent."""

    processes: int  # attempts that take a slot
    inline: int  # attempts that need no process
    arriving: int  # assignments received and not yet started
    still_for: timedelta  # since a process started or ended
    free_memory: int  # bytes available on the machine


def capacity(load: Load, slots: int) -> int:
    """Return how many more assignments the agent can take now."""
    if load.free_memory < MEMORY_FLOOR:
        return 0
    by_inline = INLINE_AT_ONCE - load.inline - load.arriving
    by_process = slots - load.processes - load.arriving
    if by_process <= 0 and load.arriving == 0 and load.still_for >= STALLED_AFTER:
        by_process = 1
    return max(0, min(by_inline, by_process))


class Slots:
    """Counts running processes and the slots they take; a parent of a running one takes none."""

    def __init__(self) -> None:
        self._running: Counter[ActionKey] = Counter()
        self._children: Counter[ActionKey] = Counter()  # running children, by parent
        self._total = 0
        self.taken = 0

    def __len__(self) -> int:
        return self._total

    def add(self, assignment: Assignment) -> None:
        self._count(assignment, 1)

    def remove(self, assignment: Assignment) -> None:
        self._count(assignment, -1)

    def _count(self, assignment: Assignment, change: int) -> None:
        self._total += change
        key = assignment.key
        parent = None if assignment.parent is None else ActionKey(key.run, assignment.parent)
        for concerned, counts in ((key, self._running), (parent, self._children)):
            if concerned is None:
                continue
            self.taken -= self._taken_by(concerned)
            counts[concerned] += change
            if not counts[concerned]:
                del counts[concerned]
            self.taken += self._taken_by(concerned)

    def _taken_by(self, key: ActionKey) -> int:
        return 0 if key in self._children else self._running[key]


def default_slots(memory: int) -> int:
    """Return one slot for each 256 MiB of the machine's memory, 4 to 256."""
    return max(4, min(256, memory // (256 * 1024 * 1024)))
