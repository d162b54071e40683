"""Tests of the session's state machine: allowed messages and their effects."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from dataplane.agent.core import link_limits
from dataplane.agent.core.session import (
    Deliver,
    HeartbeatAcknowledged,
    Send,
    Session,
    extend_credit,
    greet,
    peer_timeout,
    receive,
    tick,
)
from shared.model.assignments import UnknownAssignment
from shared.model.link_messages import (
    Acknowledgements,
    Assignments,
    Call,
    CallCancel,
    CallCredit,
    Confirmed,
    ControlMessage,
    DesiredState,
    Heartbeat,
    Hello,
    Inventory,
    InventoryDecisions,
    Rejected,
    Stops,
    Welcome,
)
from shared.model.link_session import NEXT, ControlFrame, End, State, control_frame
from tests.unit.agent.assignments import NOW, make_active, make_assignment

BEAT = timedelta(seconds=5)
HELLO = Hello(
    agent_id="a",
    instance_id="i",
    protocol_min=1,
    protocol_max=1,
    software="test",
    capabilities=(),
    last_epoch=0,
)
WELCOME = Welcome(
    epoch=7,
    protocol=1,
    heartbeat_every=BEAT,
    fence_after=timedelta(seconds=30),
    reassign_after=timedelta(seconds=60),
    server_time=NOW,
    cluster="local",
)


def make_session(state: State) -> Session:
    """Return a session that has reached this state, which is not greeting."""
    session, _ = greet(HELLO, NOW)
    if state in (State.RECONCILING_INVENTORY, State.OPEN):
        session, _ = receive(session, WELCOME, [], NOW)
    if state is State.OPEN:
        session, _ = receive(session, InventoryDecisions([], last=True), [], NOW)
    if state is State.ENDED:
        session, _ = receive(session, Rejected("no", "no", retry=True), [], NOW)
    return session


def make_open_session(*, credit: int = 0) -> Session:
    session = make_session(State.OPEN)
    if credit:
        session, _ = extend_credit(session, credit)
    return session


_EACH: Sequence[ControlMessage] = [
    WELCOME,
    Rejected("no", "no", retry=True),
    InventoryDecisions([], last=False),
    InventoryDecisions([], last=True),
    Heartbeat(number=1, sent_at=NOW),
    Assignments([], {}),
    Confirmed([]),
    Acknowledgements([]),
    Stops([]),
    DesiredState(),
    Call(1, None),
    CallCredit(1, 1),
    CallCancel(1),
]
MESSAGES = {control_frame(message): message for message in _EACH}


@pytest.mark.parametrize(
    "state", [State.WELCOMING, State.RECONCILING_INVENTORY, State.OPEN, State.ENDED], ids=str
)
@pytest.mark.parametrize("kind", ControlFrame, ids=str)
def test_session_takes_or_refuses_every_message_in_every_state(
    state: State, kind: ControlFrame
) -> None:
    session = make_session(state)
    assert session.state is state
    session, effects = receive(session, MESSAGES[kind], [], NOW)
    if state is State.ENDED:  # under way when the session ended
        assert (session.state, effects) == (State.ENDED, [])
    elif kind not in NEXT[state]:
        message = f"the control plane sent {kind.value} while {state.value}"
        assert (session.state, effects) == (State.ENDED, [End("protocol", message)])
    elif kind is ControlFrame.WELCOME:  # the inventory is sent at once
        assert session.state is State.RECONCILING_INVENTORY
    else:
        assert session.state is NEXT[state][kind]


def test_session_starts_with_hello() -> None:
    session, effects = greet(HELLO, NOW)

    assert session.state is State.WELCOMING
    assert effects == [Send(HELLO)]


def test_welcome_is_answered_with_inventory() -> None:
    active = make_active().lease
    session, _ = greet(HELLO, NOW)
    session, effects = receive(session, WELCOME, [active], NOW)

    assert (session.state, session.epoch) == (State.RECONCILING_INVENTORY, 7)
    assert effects == [HeartbeatAcknowledged(NOW), Send(Inventory([active], last=True))]


def test_empty_inventory_is_sent() -> None:
    session, _ = greet(HELLO, NOW)
    _, effects = receive(session, WELCOME, [], NOW)

    assert effects == [HeartbeatAcknowledged(NOW), Send(Inventory((), last=True))]


def test_long_inventory_is_chunked_with_last_marked() -> None:
    active = [make_active(number).lease for number in range(1, 2 * link_limits.FRAME_ITEMS + 2)]
    session, _ = greet(HELLO, NOW)
    _, effects = receive(session, WELCOME, active, NOW)

    chunks = [effect.message for effect in effects if isinstance(effect, Send)]
    assert all(isinstance(chunk, Inventory) for chunk in chunks)
    assert [chunk.last for chunk in chunks if isinstance(chunk, Inventory)] == [False, False, True]
    assert [lease for c in chunks if isinstance(c, Inventory) for lease in c.leases] == active


def test_last_inventory_decision_opens_session() -> None:
    session, _ = greet(HELLO, NOW)
    session, _ = receive(session, WELCOME, [], NOW)
    session, _ = receive(session, InventoryDecisions([], last=False), [], NOW)
    assert session.state is State.RECONCILING_INVENTORY

    session, effects = receive(session, InventoryDecisions([], last=True), [], NOW)
    assert session.state is State.OPEN
    assert effects == [Deliver(InventoryDecisions([], last=True))]


@pytest.mark.parametrize(
    "message",
    [Assignments([make_assignment()], {}), Acknowledgements([])],
    ids=["assignments", "acknowledgements"],
)
def test_assignments_before_last_inventory_decision_break_protocol(message: ControlMessage) -> None:
    session, _ = greet(HELLO, NOW)
    session, _ = receive(session, WELCOME, [], NOW)
    session, effects = receive(session, message, [], NOW)

    assert session.state is State.ENDED
    assert isinstance(effects[0], End)
    assert effects[0].retry


@pytest.mark.parametrize("message", [Stops([]), DesiredState()], ids=["stops", "desired_state"])
def test_desired_state_may_precede_inventory_decisions(message: ControlMessage) -> None:
    session, _ = greet(HELLO, NOW)
    session, _ = receive(session, WELCOME, [], NOW)
    session, effects = receive(session, message, [], NOW)

    assert session.state is State.RECONCILING_INVENTORY
    assert effects == [Deliver(message)]  # type: ignore[arg-type] # one of Work, both


@pytest.mark.parametrize("state", [State.WELCOMING, State.OPEN])
def test_rejection_ends_session_with_retry_flag(state: State) -> None:
    session = make_session(state)
    session, effects = receive(session, Rejected("superseded", "another", retry=True), [], NOW)

    assert session.state is State.ENDED
    assert effects == [End("superseded", "another", retry=True)]


def test_second_welcome_breaks_protocol() -> None:
    session, effects = receive(make_open_session(), WELCOME, [], NOW)

    assert session.state is State.ENDED
    assert effects == [End("protocol", "the control plane sent welcome while open")]


def test_assignments_beyond_credit_break_protocol() -> None:
    session = make_open_session(credit=1)
    two = Assignments([make_assignment(1), make_assignment(2)], {})
    session, effects = receive(session, two, [], NOW)

    assert session.state is State.ENDED
    assert isinstance(effects[0], End)


def test_assignments_of_an_unknown_kind_count_against_the_credit() -> None:
    lease = make_active().lease
    unknown = UnknownAssignment(attempt=lease.attempt, lease=lease.id, kind=7)
    session, _ = receive(make_open_session(credit=1), Assignments([], {}, [unknown]), [], NOW)
    assert session.received == 1
    session, effects = receive(session, Assignments([], {}, [unknown]), [], NOW)
    assert isinstance(effects[0], End)


def test_credit_counts_from_session_start() -> None:
    session, total = extend_credit(make_open_session(), 3)
    assert total == 3
    session, _ = receive(session, Assignments([make_assignment()], {}), [], NOW)

    session, total = extend_credit(session, 3)
    assert total == 4


def test_unchanged_credit_is_not_announced_and_never_reduced() -> None:
    session, _ = extend_credit(make_open_session(), 3)

    assert extend_credit(session, 3) == (session, None)
    assert extend_credit(session, 1) == (session, None)


def test_credit_increase_is_not_announced_while_plenty_is_unused() -> None:
    plenty = link_limits.PLENTY_OF_CREDIT
    session, _ = extend_credit(make_open_session(), plenty)

    assert extend_credit(session, plenty * 5 // 4) == (session, None)
    assert extend_credit(session, 2 * plenty)[1] == 2 * plenty
    session, _ = extend_credit(make_open_session(), plenty - 1)
    assert extend_credit(session, plenty)[1] == plenty


def test_credit_is_not_announced_before_session_is_open() -> None:
    session, _ = greet(HELLO, NOW)

    assert extend_credit(session, 3) == (session, None)


def test_heartbeats_are_sent_at_announced_interval() -> None:
    session = make_open_session()
    session, effects = tick(session, NOW + BEAT / 4)
    assert effects == []

    session, effects = tick(session, NOW + BEAT / 2)
    assert effects == [Send(Heartbeat(number=1, sent_at=NOW + BEAT / 2))]
    session, effects = tick(session, NOW + BEAT, held=3, running=2)
    assert effects == [Send(Heartbeat(number=2, sent_at=NOW + BEAT, held=3, running=2))]


def test_session_ends_after_three_missed_heartbeats() -> None:
    session = make_open_session()
    session, effects = tick(session, NOW + 3 * BEAT - timedelta(milliseconds=1))
    assert not any(isinstance(effect, End) for effect in effects)

    session, effects = tick(session, NOW + 3 * BEAT)
    assert isinstance(effects[0], End)
    assert effects[0].code == "silent"


def test_heartbeat_timeout_is_not_prolonged_by_clock_set_back() -> None:
    hour = timedelta(hours=1)
    session, _ = tick(make_open_session(), NOW - hour)
    session, effects = tick(session, NOW - hour + BEAT / 2)
    assert effects == [Send(Heartbeat(number=1, sent_at=NOW - hour + BEAT / 2))]
    _, effects = tick(session, NOW - hour + 3 * BEAT)
    assert isinstance(effects[0], End)


def test_any_message_resets_heartbeat_timeout() -> None:
    later = NOW + 2 * BEAT
    session, _ = receive(make_open_session(), Heartbeat(number=1, sent_at=later), [], later)
    session, effects = tick(session, NOW + 4 * BEAT)

    assert not any(isinstance(effect, End) for effect in effects)


def test_heartbeat_is_acknowledged_as_of_its_sending_time() -> None:
    session = make_open_session()
    for number in (1, 2, 3):
        session, _ = tick(session, NOW + number * BEAT / 2)
    later = NOW + 2 * BEAT

    session, effects = receive(session, Heartbeat(number=9, sent_at=later, noted=2), [], later)
    assert effects == [HeartbeatAcknowledged(NOW + BEAT)]
    session, effects = receive(session, Heartbeat(number=10, sent_at=later, noted=2), [], later)
    assert effects == []
    _, effects = receive(session, Heartbeat(number=11, sent_at=later, noted=3), [], later)
    assert effects == [HeartbeatAcknowledged(NOW + 3 * BEAT / 2)]


def test_unacknowledged_heartbeats_are_bounded() -> None:
    session = make_open_session()
    for number in range(1, 3 * link_limits.HEARTBEATS_UNNOTED):
        at = NOW + number * BEAT
        session, _ = tick(session, at)
        session, _ = receive(session, Heartbeat(number=number, sent_at=at), [], at)

    assert len(session.unnoted) == link_limits.HEARTBEATS_UNNOTED


def test_greeting_times_out() -> None:
    session, _ = greet(HELLO, NOW)
    _, effects = tick(session, NOW + link_limits.GREETING_TIMEOUT)

    assert isinstance(effects[0], End)
    assert effects[0].code == "greeting_timeout"


def test_heartbeat_interval_has_a_floor() -> None:
    session, _ = greet(HELLO, NOW)
    quick = Welcome(
        **{
            **{name: getattr(WELCOME, name) for name in WELCOME.__slots__},
            "heartbeat_every": timedelta(milliseconds=1),
        }
    )
    session, _ = receive(session, quick, [], NOW)

    assert session.heartbeat_every == link_limits.HEARTBEAT_FLOOR


def test_session_ends_at_requested_reconnect_time() -> None:
    desired = DesiredState(version=1, reconnect_after=timedelta(seconds=1))
    session, _ = receive(make_open_session(), desired, [], NOW)
    session, effects = tick(session, NOW + timedelta(milliseconds=900))
    assert not any(isinstance(effect, End) for effect in effects)

    _, effects = tick(session, NOW + timedelta(seconds=1))
    assert effects == [End("reconnect", "the control plane asked the agent to reconnect")]


def test_session_whose_attempts_are_to_end_ends_once_none_is_left() -> None:
    ending = DesiredState(version=1, end_attempts="the org was deleted")
    session, _ = receive(make_session(State.LISTING_INVENTORY), ending, [], NOW)
    assert not [each for each in tick(session, NOW)[1] if isinstance(each, End)]  # not open yet
    session, _ = receive(make_session(State.OPEN), ending, [], NOW)
    for held, running in ((1, 1), (1, 0), (0, 1)):
        _, effects = tick(session, NOW, held=held, running=running)
        assert not [each for each in effects if isinstance(each, End)]
    restored, _ = receive(session, DesiredState(version=1), [], NOW)
    assert not [each for each in tick(restored, NOW)[1] if isinstance(each, End)]
    ended, effects = tick(session, NOW)
    assert ended.state is State.ENDED
    end = End("attempts_ended", "the org was deleted", retry_after=link_limits.RETURN_AFTER)
    assert effects == [end]


def test_peer_timeout_is_greeting_timeout_then_heartbeats() -> None:
    greeting, _ = greet(HELLO, NOW)
    assert peer_timeout(greeting) == link_limits.GREETING_TIMEOUT
    opened = make_open_session()
    assert peer_timeout(opened) == link_limits.SILENT_INTERVALS * opened.heartbeat_every
