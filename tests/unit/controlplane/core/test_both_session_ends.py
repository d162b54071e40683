"""The agent's and the control plane's state machine, talking to each other in any order."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controlplane.core.agent_session_effects import (
    Effect as ControlEffect,
    OpenSession,
    Received,
    ReconcileInventory,
    RecordHeartbeat,
    Send as ControlSend,
)
from controlplane.core.agent_sessions import AgentSession
from controlplane.core.clusters import ClusterSpec
from controlplane.core.inventory import decide_inventory
from controlplane.core.link_timings import LinkTimings
from dataplane.agent.core import session as agent
from shared.model.assignments import Assignment
from shared.model.link_messages import (
    Accepted,
    Assignments,
    ControlMessage,
    Credit,
    Hello,
    Lease,
    Reply,
    Reports,
)
from shared.model.link_session import End, State
from tests.factories import NOW
from tests.unit.agent.assignments import make_assignment

STEP = timedelta(seconds=1)
MAX_IN_FLIGHT = 20
HELLO = Hello(
    agent_id="a",
    instance_id="i",
    protocol_min=1,
    protocol_max=1,
    software="test",
    capabilities=(),
    last_epoch=0,
)
HELD = [Lease(each.attempt, each.lease) for each in map(make_assignment, range(1, 600))]


def test_message_under_way_to_an_agent_that_gave_up_is_ignored() -> None:
    session, _ = agent.greet(HELLO, NOW)
    late = NOW + timedelta(hours=1)
    session, effects = agent.tick(session, late)
    assert [type(effect) for effect in effects] == [End]

    control = AgentSession(LinkTimings(), late)
    control.receive(HELLO, late)
    welcome = next(e.message for e in control.opened(1, "c1", late) if isinstance(e, ControlSend))

    assert agent.receive(session, welcome, [], late) == (session, [])


class BothEnds(RuleBasedStateMachine):
    """Frames of each direction arrive in their order; what happens between is any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.up: deque[Received] = deque()
        self.down: deque[ControlMessage] = deque()
        self.control = AgentSession(LinkTimings(), self.now)
        self.spec = ClusterSpec(version=1, cordoned=False, draining=False, pool="")
        self.made = 0
        self.ends: list[End] = []
        self.agent, effects = agent.greet(HELLO, self.now)
        self._at_agent(effects)

    def _at_agent(self, effects: Sequence[agent.Effect]) -> None:
        for effect in effects:
            match effect:
                case agent.Send(message) if not isinstance(message, Reply):
                    self.up.append(message)
                case agent.Deliver(Assignments(assignments)):
                    leases = [Lease(each.attempt, each.lease) for each in assignments]
                    self.up.append(Accepted(leases))
                case End():
                    self.ends.append(effect)
                case _:
                    pass

    def _at_control(self, effects: Sequence[ControlEffect]) -> None:
        for effect in effects:
            match effect:
                case ControlSend(message):
                    self.down.append(message)
                case OpenSession():
                    self._at_control(self.control.opened(1, "c1", self.now))
                case ReconcileInventory(inventory):
                    decisions = decide_inventory(inventory, {})
                    self._at_control(self.control.reconciled(decisions))
                case RecordHeartbeat():
                    self._at_control(self.control.heartbeat_recorded(effect, self.spec))
                case End():
                    self.ends.append(effect)
                case _:
                    pass

    @precondition(lambda self: self.up)
    @rule(most=st.integers(1, 5))
    def deliver_up(self, most: int) -> None:
        for _ in range(min(most, len(self.up))):
            self._at_control(self.control.receive(self.up.popleft(), self.now))

    @precondition(lambda self: self.down)
    @rule(most=st.integers(1, 5), held=st.integers(0, len(HELD)))
    def deliver_down(self, most: int, held: int) -> None:
        for _ in range(min(most, len(self.down))):
            message = self.down.popleft()
            self.agent, effects = agent.receive(self.agent, message, HELD[:held], self.now)
            self._at_agent(effects)

    @precondition(lambda self: len(self.up) < MAX_IN_FLIGHT and len(self.down) < MAX_IN_FLIGHT)
    @rule()
    def pass_time(self) -> None:
        self.now += STEP
        self.agent, effects = agent.tick(self.agent, self.now)
        self._at_agent(effects)
        if self.control.state is State.OPEN:
            self._at_control(self.control.tick(self.now))

    @precondition(lambda self: self.agent.state is State.OPEN)
    @rule(capacity=st.integers(0, 10))
    def send_from_agent(self, capacity: int) -> None:
        self.agent, total = agent.extend_credit(self.agent, capacity)
        if total is not None:
            self.up.append(Credit(total))
        self.up.append(Reports([]))

    @precondition(lambda self: self.control.state is State.OPEN)
    @rule()
    def hand_out(self) -> None:
        claimed: list[Assignment] = []
        for _ in range(self.control.begin_claim()):
            self.made += 1
            claimed.append(make_assignment(self.made))
        self._at_control(self.control.claimed(self.spec, len(claimed)))
        specs = dict.fromkeys(self.control.unsent_specs(claimed), b"")
        self._at_control(self.control.assign(claimed, specs))

    @precondition(lambda self: self.control.state is State.OPEN)
    @rule()
    def commit(self) -> None:
        if (commit := self.control.reports.next_commit()) is not None:
            self._at_control(
                self.control.accepted(confirmed=commit.accepted, stops=[], not_leased=[])
            )
            self._at_control(self.control.committed([], [], self.now))

    @invariant()
    def neither_end_breaks_the_protocol(self) -> None:
        assert not [end for end in self.ends if end.code == "protocol"]

    @invariant()
    def assignments_stay_within_the_credit(self) -> None:
        assert self.agent.received <= self.agent.credit


test_session_ends_never_break_the_protocol_of_each_other = BothEnds.TestCase
BothEnds.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
