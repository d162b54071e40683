"""State table of the agent link: every frame in every state, and the two ends together."""

from collections import deque
from collections.abc import Iterator

import pytest

from shared.model.link_session import (
    NEXT,
    AgentFrame,
    ControlFrame,
    FrameKind,
    ProtocolError,
    State,
    advance,
)

KINDS: list[FrameKind] = [*AgentFrame, *ControlFrame]
MAX_IN_FLIGHT = 2

Configuration = tuple[State, State, tuple[FrameKind, ...], tuple[FrameKind, ...]]
"""States of the agent and the control plane, frames in flight up and down."""


def test_session_table_has_every_state_and_every_frame_kind() -> None:
    assert set(NEXT) == set(State)
    assert {kind for row in NEXT.values() for kind in row} == set(KINDS)


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_session_frame_has_a_transition_or_is_refused_with_its_name(
    state: State, kind: FrameKind
) -> None:
    if kind in NEXT[state]:
        assert advance(state, kind) is NEXT[state][kind]
    else:
        sender = "agent" if isinstance(kind, AgentFrame) else "control plane"
        with pytest.raises(ProtocolError) as refused:
            advance(state, kind)
        assert str(refused.value) == f"the {sender} sent {kind.value} while {state.value}"


def test_session_opens_only_by_the_last_inventory_decisions() -> None:
    opening = {
        (state, kind)
        for state, row in NEXT.items()
        for kind, following in row.items()
        if following is State.OPEN and state is not State.OPEN
    }
    assert opening == {(State.RECONCILING_INVENTORY, ControlFrame.LAST_INVENTORY_DECISIONS)}


def test_session_that_has_ended_takes_nothing() -> None:
    assert not NEXT[State.ENDED]


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_session_may_be_rejected_in_every_state(state: State) -> None:
    assert advance(state, ControlFrame.REJECTED) is State.ENDED


def _successors(at: Configuration) -> Iterator[Configuration]:
    """Send any frame that the sender's state allows, or deliver the oldest one in flight."""
    agent, control, up, down = at
    for kind, following in NEXT[agent].items():
        if isinstance(kind, AgentFrame) and len(up) < MAX_IN_FLIGHT:
            yield following, control, (*up, kind), down
    for kind, following in NEXT[control].items():
        if isinstance(kind, ControlFrame) and len(down) < MAX_IN_FLIGHT:
            yield agent, following, up, (*down, kind)
    if up:  # an end that has ended reads nothing
        received = control if control is State.ENDED else advance(control, up[0])
        yield agent, received, up[1:], down
    if down:
        received = agent if agent is State.ENDED else advance(agent, down[0])
        yield received, control, up, down[1:]


def test_session_ends_accept_every_frame_that_the_other_may_send() -> None:
    start: Configuration = (State.GREETING, State.GREETING, (), ())
    seen, waiting = {start}, deque([start])
    while waiting:
        for following in _successors(waiting.popleft()):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    assert (State.OPEN, State.OPEN, (), ()) in seen
    assert {agent for agent, *_ in seen} == set(State)
