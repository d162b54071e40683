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
from controlplane.core.reason_codes import Reason
from shared.model.ids import OrgName


class BlockedKind(IntEnum):
    """Whose way it is in; numbers are in the store."""

    UNKNOWN = 0  # read from a row that a later release wrote
    POOL = 1
    QUEUE = 2  # all its actions
    QUEUE_RUNS = 3  # its root actions
    RUN = 4  # all its actions but the root; named by its id
    CLUSTER = 5  # what it holds


@dataclass(frozen=True, slots=True, order=True)
class BlockedScope:
    """What an obstacle is in the way of."""

    kind: BlockedKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingReason:
    reason: Reason
    message: str
    since: datetime | None = None  # if that is known better than from when it was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPendingReason:
    """An obstacle on record; ``ended_at`` None: it is still there."""

    blocked: BlockedScope
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


def find(use: OrgUse) -> Mapping[BlockedScope, PendingReason]:
    """Return everything that is in somebody's way."""
    found: dict[BlockedScope, PendingReason] = {}
    for pool in {"", *use.pools, *(member.pool for member in use.members)}:
        members = [member for member in use.members if member.pool == pool]
        _add(found, BlockedScope(BlockedKind.POOL, pool), of_pool(pool, members))
    for member in use.members:
        _add(found, BlockedScope(BlockedKind.CLUSTER, member.cluster), of_cluster(member))
    for queue in use.queues:
        _add(found, BlockedScope(BlockedKind.QUEUE, queue.queue.name), of_queue(queue))
        _add(found, BlockedScope(BlockedKind.QUEUE_RUNS, queue.queue.name), of_queue_runs(queue))
    for run in use.runs:
        _add(found, BlockedScope(BlockedKind.RUN, run.run), of_run(run))
    return found


def _add(
    found: dict[BlockedScope, PendingReason], blocked: BlockedScope, pending: PendingReason | None
) -> None:
    if pending is not None:
        found[blocked] = pending


def of_pool(pool: str, members: Sequence[PoolMember]) -> PendingReason | None:
    """Say why nothing of a pool can be leased; None when something can."""
    name = f"pool {pool}" if pool else "the pool of clusters that name none"
    if not members:
        return PendingReason(
            reason=Reason.NO_CLUSTER,
            message=f"No cluster serves {name}; connect one, or send the queue elsewhere.",
        )
    takers = [member for member in members if member.takes_work]
    if not takers:
        return PendingReason(
            reason=Reason.NO_CLUSTER,
            message=f"Every cluster of {name} is cordoned or drained ({_names(members)}).",
        )
    connected = [member for member in takers if member.connected]
    if not connected:
        return PendingReason(
            reason=Reason.NO_CLUSTER,
            message=f"No cluster of {name} is connected ({_names(takers)}).",
        )
    if not any(member.slots for member in connected):
        return PendingReason(
            reason=Reason.NO_CREDIT,
            message=f"The clusters of {name} are full ({_names(connected)}); a place has to come free.",
        )
    return None


def of_cluster(member: PoolMember) -> PendingReason | None:
    if member.connected or member.seen_at is None:
        return None
    return PendingReason(
        reason=Reason.CLUSTER_SILENT,
        message=f"Cluster {member.cluster} is not heard since {_render_time(member.seen_at)}.",
        since=member.seen_at,
    )


def of_queue(use: QueueUse) -> PendingReason | None:
    limit = use.queue.action_concurrency
    if not limit or use.leased < limit:
        return None
    return PendingReason(
        reason=Reason.QUEUE_LIMIT,
        message=f"Queue {use.queue.name} is at its limit of actions under way: "
        f"{use.leased} of {limit}.",
    )


def of_queue_runs(use: QueueUse) -> PendingReason | None:
    limit = use.queue.run_concurrency
    if not limit or use.runs < limit:
        return None
    return PendingReason(
        reason=Reason.QUEUE_LIMIT,
        message=f"Queue {use.queue.name} is at its limit of runs under way: {use.runs} of {limit}.",
    )


def of_run(use: RunUse) -> PendingReason | None:
    if not use.limit or use.leased < use.limit:
        return None
    return PendingReason(
        reason=Reason.RUN_LIMIT,
        message=f"The run is at its limit of actions under way: {use.leased} of {use.limit}.",
    )


def _names(members: Iterable[PoolMember]) -> str:
    names = sorted(member.cluster for member in members)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _render_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
