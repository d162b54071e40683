"""Queues: how work is routed to clusters, and how much of it at once."""

from dataclasses import dataclass

DEFAULT = ""
"""The queue of whoever names none; it is there without being made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Zero is no limit. ``pool`` names the clusters that serve it; "" is theirs who name none."""

    name: str
    pool: str = ""
    priority: int = 0  # larger goes first
    depth: int = 0  # how many actions may wait
    run_concurrency: int = 0  # how many runs may be under way
    action_concurrency: int = 0  # how many actions may be under way

    @property
    def is_limited(self) -> bool:
        """Whether something must be counted before its work is leased."""
        return bool(self.run_concurrency or self.action_concurrency)


@dataclass(frozen=True, slots=True)
class Room:
    """A queue as a transaction finds it, and how many more actions may wait in it."""

    queue: Queue
    left: int | None  # None: no limit


@dataclass(slots=True)
class Rooms:
    """The queues that a transaction enqueues into; each that is let in takes a place."""

    rooms: dict[str, Room]

    def find(self, name: str) -> Queue | None:
        """Return the queue, None when there is none of that name."""
        room = self.rooms.get(name)
        if room is not None:
            return room.queue
        return Queue(name=DEFAULT) if name == DEFAULT else None

    def take(self, name: str) -> bool:
        """Take a place in the queue; False when it is full."""
        room = self.rooms.get(name)
        if room is None or room.left is None:
            return True
        if room.left <= 0:
            return False
        self.rooms[name] = Room(room.queue, room.left - 1)
        return True
