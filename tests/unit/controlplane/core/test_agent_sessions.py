"""State machine of agent sessions: allowed frames, credits, and decisions on inventories."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from controlplane.core.agent_sessions import (
    MAX_CREDIT_AHEAD,
    MAX_ITEMS_IN_FRAME,
    NEXT,
    PROTOCOL,
    Credits,
    FrameKind,
    InventoryDecision,
    LeaseRecord,
    ProtocolError,
    State,
    Versions,
    advance,
    choose_protocol,
    decide_inventory,
    require_frame_size,
)
from shared.model.ids import ActionId, AttemptId, LeaseId

attempts = st.builds(
    AttemptId, st.integers(1, 4).map(lambda n: ActionId(UUID(int=n))), st.integers(1, 2)
)
leases = st.integers(1, 3).map(lambda n: LeaseId(UUID(int=n)))
inventories = st.lists(st.tuples(attempts, leases))
held_leases = st.lists(
    st.builds(LeaseRecord, attempts, leases, st.none() | st.just("aborted")),
    unique_by=lambda held: held.attempt.action,
)


def test_session_state_table_covers_every_state() -> None:
    assert set(NEXT) == set(State)


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
@pytest.mark.parametrize("kind", FrameKind)
def test_session_refuses_frames_not_in_the_state_table(state: State, kind: FrameKind) -> None:
    if kind in NEXT[state]:
        assert advance(state, kind) is NEXT[state][kind]
    else:
        with pytest.raises(ProtocolError, match=str(kind)):
            advance(state, kind)


def test_session_opens_only_after_the_last_inventory_frame() -> None:
    opening = {
        (state, kind)
        for state, row in NEXT.items()
        for kind, following in row.items()
        if following is State.OPEN and state is not State.OPEN
    }
    assert opening == {(State.RECONCILING_INVENTORY, FrameKind.LAST_INVENTORY)}


@pytest.mark.parametrize(
    ("oldest", "newest", "chosen"),
    [
        (PROTOCOL, PROTOCOL, PROTOCOL),
        (1, 99, PROTOCOL),
        (PROTOCOL + 1, 99, None),
        (0, 0, None),
        (5, 1, None),
    ],
)
def test_protocol_negotiation_picks_newest_common_version(
    oldest: int, newest: int, chosen: int | None
) -> None:
    assert choose_protocol(Versions(oldest, newest)) == chosen


@given(st.lists(st.integers(0, 50)), st.data())
def test_credits_sent_never_exceed_the_latest_total(
    totals: Sequence[int], data: st.DataObject
) -> None:
    credits_, latest = Credits(), 0
    for total in totals:
        credits_.grant(total)
        latest = total
        credits_.spend(data.draw(st.integers(0, credits_.room)))
        assert credits_.sent <= max(latest, credits_.sent)
        assert credits_.room == max(0, latest - credits_.sent)


def test_credits_shrink_with_a_smaller_total() -> None:
    credits_ = Credits()
    credits_.grant(10)
    credits_.spend(4)
    credits_.grant(4)
    assert credits_.room == 0


def test_credits_beyond_the_limit_are_refused() -> None:
    credits_ = Credits(granted=0, sent=5)
    credits_.grant(5 + MAX_CREDIT_AHEAD)
    with pytest.raises(ProtocolError, match="at most"):
        credits_.grant(6 + MAX_CREDIT_AHEAD)


def test_frame_with_too_many_items_is_refused() -> None:
    require_frame_size(MAX_ITEMS_IN_FRAME)
    with pytest.raises(ProtocolError, match="at most"):
        require_frame_size(MAX_ITEMS_IN_FRAME + 1)


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
