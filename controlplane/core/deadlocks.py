"""
Limits that wait for each other: found among those that are full.

A parent that waits keeps its place in a limit for its children (``turns.Handover``). A child
that needs a place in a second limit, too, may wait for it; if all the places of that one are
kept for children that in turn need a place in the first, nothing goes on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from controlplane.core.pending_reasons import BlockedKind, BlockedScope, PendingReason
from controlplane.core.reason_codes import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLimit:
    """A limit whose places are all kept for children of those that have them."""

    place: BlockedScope
    name: str  # for people
    needs: Collection[BlockedScope]  # the other limits in which the children need a place


def find_deadlocks(limits: Sequence[KeptLimit]) -> Mapping[BlockedScope, PendingReason]:
    """Return the limits that wait for each other, with the words for it."""
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
        message=f"Deadlock: every place in the limits of {names} is kept for a child of an action "
        f"that waits for it, and each child needs a place in another of these limits; {remedy}.",
    )
    return dict.fromkeys(stuck, pending)
