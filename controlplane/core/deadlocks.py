"""
Finds concurrency limits that wait for each other in a cycle, or for themselves.

A waiting parent reserves its slot in a limit for its children (``fair_scheduler.Handover``). A
child that also needs a slot in a second limit may wait for it; if all slots of that one are
reserved for children that in turn need a slot in the first, no action can start: a deadlock.

A run that a task starts is no child of it, and gets no slot of its. Where all slots of a limit are
held by runs that have started a run which waits in that limit, none starts if each waits for what
it started.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from controlplane.core.pending_reasons import BlockedKind, BlockedScope, PendingReason
from controlplane.core.reason_codes import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLimit:
    """A limit all of whose slots are reserved for children of the actions that hold them."""

    place: BlockedScope
    name: str  # for display
    needs: Collection[BlockedScope]  # other limits in which the children need a slot


def find_deadlocks(limits: Sequence[KeptLimit]) -> Mapping[BlockedScope, PendingReason]:
    """Return the limits that wait for each other, each with the pending reason."""
    stuck = {limit.place: limit for limit in limits if limit.needs}
    while movable := [
        place for place, limit in stuck.items() if not stuck.keys() >= set(limit.needs)
    ]:
        for place in movable:
            del stuck[place]
    if not stuck:
        return {}
    names = " and ".join(sorted(limit.name for limit in stuck.values()))
    queues = sorted(place.name for place in stuck if place.kind is BlockedKind.QUEUE)
    remedy = "abort one of the runs"
    if queues:
        remedy = f"raise one (volary queue set {queues[0]} --action-concurrency N), or {remedy}"
    pending = PendingReason(
        reason=Reason.DEADLOCK,
        message=f"Deadlock: every slot in the limits of {names} is reserved for a child of an "
        f"action that waits for it, and each child needs a slot in another of these limits; "
        f"{remedy}.",
    )
    return dict.fromkeys(stuck, pending)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnedRunLimit:
    """A queue's full limit, all of whose slots are held by runs that started a run in the queue."""

    queue: str
    kind: BlockedKind  # QUEUE_RUNS: its limit of runs; QUEUE: of actions
    holder: str  # the name of a run that holds a slot
    waiting: str  # the name of a run that it started, directly or not, and that waits


def find_spawn_deadlocks(
    limits: Sequence[SpawnedRunLimit],
) -> Mapping[BlockedScope, PendingReason]:
    """Return the limits whose slots are all held by runs that may wait for a run in the limit."""
    return {BlockedScope(each.kind, each.queue): _of_spawned(each) for each in limits}


def _of_spawned(limit: SpawnedRunLimit) -> PendingReason:
    of, option = "actions", "action"
    if limit.kind is BlockedKind.QUEUE_RUNS:
        of, option = "runs", "run"
    return PendingReason(
        reason=Reason.DEADLOCK,
        message=f"Deadlock, if runs wait for the runs that they start: every slot in the limit of "
        f"{of} of queue {limit.queue} is held by a run that started another, which waits for a "
        f"slot (run {limit.holder} started {limit.waiting}); raise the limit (volary queue set "
        f"{limit.queue} --{option}-concurrency N), or abort one of the runs.",
    )
