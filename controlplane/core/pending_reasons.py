"""
Pending reasons: finds why actions of a pool, queue, run or cluster do not start.

Derived from the current state of clusters, queues and runs. ``loops.pending_reasons`` records
when each began and ended, so that an action's waiting time can be explained afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from controlplane.core.queues import Queue
from controlplane.core.reason_codes import Reason
from shared.model.ids import OrgName

# Of several pending reasons the one to resolve first: capacity is no use without a cluster.
_MOST_SEVERE = (
    Reason.NO_CLUSTER,
    Reason.DEADLOCK,
    Reason.CASCADE,
    Reason.QUEUE_LIMIT,
    Reason.RUN_LIMIT,
    Reason.NO_CREDIT,
)


class BlockedKind(IntEnum):
    """Kinds of scopes that a pending reason applies to; the store has the numbers."""

    UNKNOWN = 0  # read from a row that a later release wrote
    POOL = 1
    QUEUE = 2  # all its actions
    QUEUE_RUNS = 3  # its root actions
    RUN = 4  # all its actions but the root; named by its id
    CLUSTER = 5  # actions leased to it
    WHOLE_RUN = 6  # all its actions; named by its id


@dataclass(frozen=True, slots=True, order=True)
class BlockedScope:
    """Scope of a pending reason: a pool, queue, run or cluster by name."""

    kind: BlockedKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingReason:
    """Reason why actions of a scope do not start, with a message for users."""

    reason: Reason
    message: str
    since: datetime | None = None  # when it began; None: when it was first observed


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPendingReason:
    """A recorded pending reason; ``ended_at`` None: it still applies."""

    blocked: BlockedScope
    reason: Reason
    message: str
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMember:
    """Fields of a cluster that decide whether its pool takes work."""

    cluster: str
    pool: str
    connected: bool
    takes_work: bool
    slots: int
    seen_at: datetime | None
    cloned: str = ""  # which agents have its identity, if it is not one alone
    restored: bool = False  # not released since the database was restored


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueUse:
    """A queue with limits, and how many of its actions and runs are leased."""

    queue: Queue
    leased: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUse:
    """A run with a concurrency limit, and how many of its actions are leased."""

    run: str  # its id
    limit: int
    leased: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCascade:
    """A run in which descendants of an ended action are still to be ended."""

    run: str  # its id
    action: str  # the name of the one that ended, or of one of several
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgUse:
    """Current use of an org's clusters, queues and runs."""

    org: OrgName
    members: Sequence[PoolMember] = ()
    pools: Sequence[str] = ()  # that queues name; those of clusters are in ``members``
    queues: Sequence[QueueUse] = ()
    runs: Sequence[RunUse] = ()
    cascades: Sequence[RunCascade] = ()


def severity(reason: Reason) -> int:
    """Return the position of a reason among several: that with the least is to be resolved first."""
    return _MOST_SEVERE.index(reason) if reason in _MOST_SEVERE else len(_MOST_SEVERE)


def find(use: OrgUse) -> Mapping[BlockedScope, PendingReason]:
    """Return all pending reasons of an org, by scope."""
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
    for cascade in use.cascades:
        found[BlockedScope(BlockedKind.WHOLE_RUN, cascade.run)] = of_cascade(cascade)
    return found


def _add(
    found: dict[BlockedScope, PendingReason], blocked: BlockedScope, pending: PendingReason | None
) -> None:
    if pending is not None:
        found[blocked] = pending


def of_pool(pool: str, members: Sequence[PoolMember]) -> PendingReason | None:
    """Return why no action of a pool can be leased; None when one can."""
    name = f"pool {pool}" if pool else "the default pool"
    if not members:
        return PendingReason(
            reason=Reason.NO_CLUSTER,
            message=f"No cluster serves {name}; connect one, or move the queue to another pool.",
        )
    takers = [member for member in members if member.takes_work]
    restored = [member for member in members if member.restored]
    if not takers and restored:
        return PendingReason(
            reason=Reason.NO_CLUSTER,
            message=f"The database was restored from a backup, and clusters of {name} lease no work "
            f"until they are released ({_names(restored)}); an operator releases them with "
            "`volary restored release`.",
        )
    if not takers:
        return PendingReason(
            reason=Reason.NO_CLUSTER,
            message=f"Every cluster of {name} is cordoned or drained ({_names(members)}); "
            "uncordon one with `volary cluster uncordon NAME`.",
        )
    connected = [member for member in takers if member.connected]
    if not connected:
        return PendingReason(
            reason=Reason.NO_CLUSTER,
            message=f"No cluster of {name} is connected ({_names(takers)}); "
            f"check that their agents run and reach the control plane.{_clones(takers)}",
        )
    if not any(member.slots for member in connected):
        return PendingReason(
            reason=Reason.NO_CREDIT,
            message=f"All clusters of {name} are at capacity ({_names(connected)}); "
            "the action starts when a slot frees up.",
        )
    return None


def of_cluster(member: PoolMember) -> PendingReason | None:
    """Return that a cluster has stopped sending heartbeats; None while it is connected."""
    if member.connected or member.seen_at is None:
        return None
    return PendingReason(
        reason=Reason.CLUSTER_SILENT,
        message=f"Cluster {member.cluster} has sent no heartbeat since "
        f"{_render_time(member.seen_at)}; check its agent and the network.{_clones([member])}",
        since=member.seen_at,
    )


def of_queue(use: QueueUse) -> PendingReason | None:
    """Return that a queue is at its limit of actions; None when it is not."""
    limit = use.queue.action_concurrency
    if not limit or use.leased < limit:
        return None
    return PendingReason(
        reason=Reason.QUEUE_LIMIT,
        message=f"Queue {use.queue.name} is at its limit of running actions: "
        f"{use.leased} of {limit}.",
    )


def of_queue_runs(use: QueueUse) -> PendingReason | None:
    """Return that a queue is at its limit of runs; None when it is not."""
    limit = use.queue.run_concurrency
    if not limit or use.runs < limit:
        return None
    return PendingReason(
        reason=Reason.QUEUE_LIMIT,
        message=f"Queue {use.queue.name} is at its limit of concurrent runs: "
        f"{use.runs} of {limit}.",
    )


def of_run(use: RunUse) -> PendingReason | None:
    """Return that a run is at its limit of actions; None when it is not."""
    if not use.limit or use.leased < use.limit:
        return None
    return PendingReason(
        reason=Reason.RUN_LIMIT,
        message=f"The run is at its limit of running actions: {use.leased} of {use.limit}.",
    )


def of_cascade(cascade: RunCascade) -> PendingReason:
    """Return that a run starts nothing while descendants of an ended action are being ended."""
    return PendingReason(
        reason=Reason.CASCADE,
        message=f"Action {cascade.action} of the run has ended, and its descendants are being "
        "aborted; the run starts nothing until that is done, which takes moments.",
        since=cascade.since,
    )


def _names(members: Iterable[PoolMember]) -> str:
    names = sorted(member.cluster for member in members)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _clones(members: Iterable[PoolMember]) -> str:
    """Return a sentence for each cluster, of the first five, whose identity two agents have."""
    cloned = sorted((each for each in members if each.cloned), key=lambda each: each.cluster)
    return "".join(
        f" Two agents have the identity of cluster {each.cluster} ({each.cloned}): stop the one"
        " that should not run."
        for each in cloned[:5]
    )


def _render_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
