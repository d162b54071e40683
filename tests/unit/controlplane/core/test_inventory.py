"""Decisions on the inventory of an agent."""

from collections.abc import Sequence
from uuid import UUID

from hypothesis import given, strategies as st

from controlplane.core.inventory import LeaseRecord, decide_inventory
from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.link_messages import InventoryDecision

attempts = st.builds(
    AttemptId, st.integers(1, 4).map(lambda n: ActionId(UUID(int=n))), st.integers(1, 2)
)
leases = st.integers(1, 3).map(lambda n: LeaseId(UUID(int=n)))
inventories = st.lists(st.tuples(attempts, leases))
held_leases = st.lists(
    st.builds(LeaseRecord, attempts, leases, st.none() | st.just("aborted")),
    unique_by=lambda held: held.attempt.action,
)


@given(inventories, held_leases)
def test_inventory_keeps_only_current_leases(
    inventory: Sequence[tuple[AttemptId, LeaseId]], known: Sequence[LeaseRecord]
) -> None:
    held = {each.attempt.action: each for each in known}
    decisions = decide_inventory(inventory, held)
    assert [(attempt, lease) for attempt, lease, _ in decisions] == list(inventory)
    for attempt, lease, decision in decisions:
        current = [each for each in known if (each.attempt, each.lease) == (attempt, lease)]
        if not current:
            assert decision is InventoryDecision.FORGET
        else:
            kept = current[0].stop_reason is None
            assert decision is (InventoryDecision.KEEP if kept else InventoryDecision.STOP)


@given(held_leases)
def test_inventory_that_is_empty_decides_nothing(known: Sequence[LeaseRecord]) -> None:
    assert decide_inventory([], {each.attempt.action: each for each in known}) == []
