"""Decisions on an agent's inventory: the attempts that it still has when a session begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.link_messages import InventoryDecision


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease as stored; ``stop_reason`` is set when a stop of its attempt is requested."""

    attempt: AttemptId
    lease: LeaseId
    stop_reason: str | None


def decide_inventory(
    inventory: Sequence[tuple[AttemptId, LeaseId]], held: Mapping[ActionId, LeaseRecord]
) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
    """
    Decide for each attempt in an agent's inventory whether it is kept, stopped or forgotten.

    Leases that the inventory lacks are not decided here: an agent with an empty inventory may
    have lost its ledger, which must not delete anything.
    """
    return [(attempt, lease, _decide(attempt, lease, held)) for attempt, lease in inventory]


def _decide(
    attempt: AttemptId, lease: LeaseId, held: Mapping[ActionId, LeaseRecord]
) -> InventoryDecision:
    current = held.get(attempt.action)
    if current is None or current.attempt != attempt or current.lease != lease:
        return InventoryDecision.FORGET
    return InventoryDecision.KEEP if current.stop_reason is None else InventoryDecision.STOP
