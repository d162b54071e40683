"""
What stands in the way of work that waits: of all in a pool, a queue, a run, on a cluster.

Judged from how things stand now. A pass keeps a record of since when and until when, so
that the seconds an action has waited can be accounted for afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from controlplane.core.queues import Queue
from controlplane.core.reasons import Reason
from shared.model.ids import OrgName


class Scope(IntEnum):
    """Whose way it is in; numbers are in the store."""

    UNKNOWN = 0  # read from a row that a later release wrote
    POOL = 1
    QUEUE = 2  # all its actions
    QUEUE_RUNS = 3  # its root actions
    RUN = 4  # all its actions but the root; named by its id
    CLUSTER = 5  # what it holds


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What an obstacle is in the way of."""

    scope: Scope
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    reason: Reason
    message: str
    since: datetime | None = None  # if that is known better than from when it was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class PastObstacle:
    """An obstacle on record; ``ended_at`` None: it is still there."""

    place: Place
    reason: Reason
    message: str
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMember:
    """A cluster, as far as it matters to those who wait."""

    cluster: str
    pool: str
    connected: bool
    takes_work: bool
    slots: int
    seen_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueUse:
    """A queue with limits, and how much of it is under way."""

    queue: Queue
    leased: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUse:
    """A run with a limit, and how many of its actions are under way."""

    run: str  # its id
    limit: int
    leased: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgUse:
    """How an org's clusters, queues and runs stand."""

    org: OrgName
    members: Sequence[PoolMember] = ()
    pools: Sequence[str] = ()  # that queues name; those of clusters are known by them
    queues: Sequence[QueueUse] = ()
    runs: Sequence[RunUse] = ()


def find(use: OrgUse) -> Mapping[Place, Obstacle]:
    """Return everything that is in somebody's way."""
    found: dict[Place, Obstacle] = {}
    for pool in {"", *use.pools, *(member.pool for member in use.members)}:
        members = [member for member in use.members if member.pool == pool]
        _note(found, Place(Scope.POOL, pool), of_pool(pool, members))
    for member in use.members:
        _note(found, Place(Scope.CLUSTER, member.cluster), of_cluster(member))
    for queue in use.queues:
        _note(found, Place(Scope.QUEUE, queue.queue.name), of_queue(queue))
        _note(found, Place(Scope.QUEUE_RUNS, queue.queue.name), of_queue_runs(queue))
    for run in use.runs:
        _note(found, Place(Scope.RUN, run.run), of_run(run))
    return found


def _note(found: dict[Place, Obstacle], place: Place, obstacle: Obstacle | None) -> None:
    if obstacle is not None:
        found[place] = obstacle


def of_pool(pool: str, members: Sequence[PoolMember]) -> Obstacle | None:
    """Say why nothing of a pool can be leased; None when something can."""
    name = f"pool {pool}" if pool else "the pool of clusters that name none"
    if not members:
        return Obstacle(
            reason=Reason.NO_CLUSTER,
            message=f"No cluster serves {name}; connect one, or send the queue elsewhere.",
        )
    takers = [member for member in members if member.takes_work]
    if not takers:
        return Obstacle(
            reason=Reason.NO_CLUSTER,
            message=f"Every cluster of {name} is cordoned or drained ({_names(members)}).",
        )
    heard = [member for member in takers if member.connected]
    if not heard:
        return Obstacle(
            reason=Reason.NO_CLUSTER,
            message=f"No cluster of {name} is connected ({_names(takers)}).",
        )
    if not any(member.slots for member in heard):
        return Obstacle(
            reason=Reason.NO_CREDIT,
            message=f"The clusters of {name} are full ({_names(heard)}); a place has to come free.",
        )
    return None


def of_cluster(member: PoolMember) -> Obstacle | None:
    if member.connected or member.seen_at is None:
        return None
    return Obstacle(
        reason=Reason.CLUSTER_SILENT,
        message=f"Cluster {member.cluster} is not heard since {_instant(member.seen_at)}.",
        since=member.seen_at,
    )


def of_queue(use: QueueUse) -> Obstacle | None:
    limit = use.queue.action_concurrency
    if not limit or use.leased < limit:
        return None
    return Obstacle(
        reason=Reason.QUEUE_LIMIT,
        message=f"Queue {use.queue.name} is at its limit of actions under way: "
        f"{use.leased} of {limit}.",
    )


def of_queue_runs(use: QueueUse) -> Obstacle | None:
    limit = use.queue.run_concurrency
    if not limit or use.runs < limit:
        return None
    return Obstacle(
        reason=Reason.QUEUE_LIMIT,
        message=f"Queue {use.queue.name} is at its limit of runs under way: {use.runs} of {limit}.",
    )


def of_run(use: RunUse) -> Obstacle | None:
    if not use.limit or use.leased < use.limit:
        return None
    return Obstacle(
        reason=Reason.RUN_LIMIT,
        message=f"The run is at its limit of actions under way: {use.leased} of {use.limit}.",
    )


def _names(members: Iterable[PoolMember]) -> str:
    names = sorted(member.cluster for member in members)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
