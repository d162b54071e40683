"""Queues: route actions to pools of clusters and limit their concurrency and depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.core.errors import InvalidError

MAX_PRIORITY = 1_000
MAX_LIMIT = 1_000_000

ANY_POOL = "*"
"""Matches every pool; not a valid pool name itself."""

DEFAULT = ""
"""Name of the default queue, of actions that name none; it exists without being created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """
    A queue's pool, priority and limits.

    A limit of zero means none. ``pool`` names the clusters that serve it; "" is the default pool.
    """

    name: str
    pool: str = ""
    priority: int = 0  # larger goes first
    depth: int = 0  # limit of waiting actions
    run_concurrency: int = 0  # limit of leased runs
    action_concurrency: int = 0  # limit of leased actions
    version: int = 0  # grows with each change; 0 of a queue that is not stored

    @property
    def is_limited(self) -> bool:
        """Return whether leased work must be counted before more is leased."""
        return bool(self.run_concurrency or self.action_concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChange:
    """Change of a queue's settings; None keeps a setting."""

    pool: str | None = None
    priority: int | None = None
    depth: int | None = None
    run_concurrency: int | None = None
    action_concurrency: int | None = None

    def apply(self, queue: Queue) -> Queue:
        """Return the changed queue; InvalidError for a value out of range."""
        if self.priority is not None and abs(self.priority) > MAX_PRIORITY:
            raise InvalidError(
                f"priority is {self.priority}; it must be between -{MAX_PRIORITY} and {MAX_PRIORITY}"
            )
        for name in ("depth", "run_concurrency", "action_concurrency"):
            limit: int | None = getattr(self, name)
            if limit is not None and not 0 <= limit <= MAX_LIMIT:
                raise InvalidError(
                    f"{name} is {limit}; it must be from 1 to {MAX_LIMIT}, or 0 for no limit"
                )
        return Queue(
            name=queue.name,
            pool=queue.pool if self.pool is None else self.pool,
            priority=_or(self.priority, queue.priority),
            depth=_or(self.depth, queue.depth),
            run_concurrency=_or(self.run_concurrency, queue.run_concurrency),
            action_concurrency=_or(self.action_concurrency, queue.action_concurrency),
            version=queue.version,
        )


def _or(change: int | None, before: int) -> int:
    return before if change is None else change


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue with counts of its actions."""

    queue: Queue
    waiting: int
    leased: int
    runs: int  # leased root actions
    clusters: int  # in its pool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueBucket:
    """The most work that a queue had in a part of the time."""

    began_at: datetime
    waiting: int
    assigned: int
    waited: timedelta  # the action that had waited longest


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueHistory:
    """A queue's work over time, in equal buckets of which those without work are left out."""

    since: datetime
    until: datetime
    buckets: Sequence[QueueBucket]


@dataclass(frozen=True, slots=True)
class QueueCapacity:
    """A queue as read in a transaction, and how many more actions may wait in it."""

    queue: Queue
    remaining: int | None  # None: no limit


@dataclass(slots=True)
class QueueCapacities:
    """Remaining depth of the queues that a transaction enqueues into."""

    capacities: dict[str, QueueCapacity]

    def find(self, name: str) -> Queue | None:
        """Return the queue; None when no queue has that name."""
        capacity = self.capacities.get(name)
        if capacity is not None:
            return capacity.queue
        return Queue(name=DEFAULT) if name == DEFAULT else None

    def take(self, name: str) -> bool:
        """Use one slot of the queue's depth; False when it is full."""
        capacity = self.capacities.get(name)
        if capacity is None or capacity.remaining is None:
            return True
        if capacity.remaining <= 0:
            return False
        self.capacities[name] = QueueCapacity(capacity.queue, capacity.remaining - 1)
        return True
