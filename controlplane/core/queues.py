"""Queues: how work is routed to clusters, and how much of it at once."""

from dataclasses import dataclass

from controlplane.core.errors import InvalidError

MAX_PRIORITY = 1_000
MAX_LIMIT = 1_000_000

ANY_POOL = "*"
"""In place of the names of pools: whichever they are. No pool can have this name."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChange:
    """What of a queue is to be otherwise; None leaves it as it is."""

    pool: str | None = None
    priority: int | None = None
    depth: int | None = None
    run_concurrency: int | None = None
    action_concurrency: int | None = None

    def apply(self, queue: Queue) -> Queue:
        """Return the queue as it is to be; InvalidError for what cannot be meant."""
        if self.priority is not None and abs(self.priority) > MAX_PRIORITY:
            raise InvalidError(
                f"priority {self.priority}: it is between -{MAX_PRIORITY} and {MAX_PRIORITY}"
            )
        for name in ("depth", "run_concurrency", "action_concurrency"):
            limit: int | None = getattr(self, name)
            if limit is not None and not 0 <= limit <= MAX_LIMIT:
                raise InvalidError(f"{name} {limit}: it is from 1 to {MAX_LIMIT}; 0 is no limit")
        return Queue(
            name=queue.name,
            pool=queue.pool if self.pool is None else self.pool,
            priority=_or(self.priority, queue.priority),
            depth=_or(self.depth, queue.depth),
            run_concurrency=_or(self.run_concurrency, queue.run_concurrency),
            action_concurrency=_or(self.action_concurrency, queue.action_concurrency),
        )


def _or(change: int | None, before: int) -> int:
    return before if change is None else change


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue and what is in it."""

    queue: Queue
    waiting: int
    leased: int
    runs: int  # of the leased, those that are runs
    clusters: int  # that serve its pool


@dataclass(frozen=True, slots=True)
class QueueCapacity:
    """A queue as a transaction finds it, and how many more actions may wait in it."""

    queue: Queue
    remaining: int | None  # None: no limit


@dataclass(slots=True)
class QueueCapacities:
    """The queues that a transaction enqueues into; each that is let in takes a place."""

    capacities: dict[str, QueueCapacity]

    def find(self, name: str) -> Queue | None:
        """Return the queue, None when there is none of that name."""
        capacity = self.capacities.get(name)
        if capacity is not None:
            return capacity.queue
        return Queue(name=DEFAULT) if name == DEFAULT else None

    def take(self, name: str) -> bool:
        """Take a place in the queue; False when it is full."""
        capacity = self.capacities.get(name)
        if capacity is None or capacity.remaining is None:
            return True
        if capacity.remaining <= 0:
            return False
        self.capacities[name] = QueueCapacity(capacity.queue, capacity.remaining - 1)
        return True
