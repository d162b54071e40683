"""State machine of the control plane's end of an agent session."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from controlplane.core import agent_sessions, report_queue
from controlplane.core.agent_session_effects import (
    CallReply,
    CommitReports,
    Effect,
    FindWork,
    OpenSession,
    PassReply,
    Received,
    ReconcileInventory,
    RecordFindings,
    RecordHeartbeat,
    Send,
    Sent,
)
from controlplane.core.agent_sessions import CLAIM_AT_ONCE, POLL_INTERVAL, AgentSession
from controlplane.core.clusters import AgentInfo, AgentLoad, ClusterSpec
from controlplane.core.inventory import LeaseRecord
from controlplane.core.link_protocol import MAX_CREDIT_AHEAD
from controlplane.core.link_timings import LinkTimings
from controlplane.core.queues import ANY_POOL
from shared.model.findings import Findings
from shared.model.ids import ActionId, AttemptId, Digest, LeaseId
from shared.model.link_messages import (
    Accepted,
    Acknowledgements,
    Assignments,
    Confirmed,
    Credit,
    DesiredState,
    Heartbeat,
    Hello,
    Inventory,
    InventoryDecision,
    InventoryDecisions,
    Lease,
    Reports,
    Stop,
    Stops,
    Welcome,
)
from shared.model.link_session import (
    NEXT,
    AgentFrame,
    End,
    ProtocolError,
    State,
    agent_frame,
)
from shared.model.phases import Phase
from shared.model.reports import Acknowledgement, AckStatus, Report
from tests.factories import NOW
from tests.unit.agent.assignments import make_assignment

TIMINGS = LinkTimings()
SPEC = ClusterSpec(version=1, cordoned=False, draining=False, pool="here")
SECOND = timedelta(seconds=1)
HELLO = Hello(
    agent_id="an agent",
    instance_id="an instance",
    protocol_min=1,
    protocol_max=1,
    software="volary-agent 0.1.0",
    capabilities=["python"],
    last_epoch=0,
)
LEASE = Lease(AttemptId(ActionId(UUID(int=1)), 1), LeaseId(UUID(int=2)))
PAIR = (LEASE.attempt, LEASE.id)
REPORT = Report(attempt=LEASE.attempt, lease=LEASE.id, version=1, phase=Phase.RUNNING, at=NOW)
ACKNOWLEDGED = Acknowledgement(attempt=LEASE.attempt, version=1, status=AckStatus.APPLIED)
STOP = LeaseRecord(LEASE.attempt, LEASE.id, "aborted")
MESSAGES: dict[AgentFrame, Received] = {
    **{
        agent_frame(message): message
        for message in (
            HELLO,
            Inventory([LEASE], last=False),
            Inventory([LEASE], last=True),
            Credit(1),
            Accepted([LEASE]),
            Reports([REPORT]),
            Heartbeat(number=1, sent_at=NOW),
        )
    },
    AgentFrame.REPLY: CallReply("a reply"),
    AgentFrame.FINDINGS: Findings([], NOW),
}


def make_session(state: State) -> AgentSession:
    """Return a session that has reached this state."""
    session = AgentSession(TIMINGS, NOW)
    if state is State.ENDED:
        session.receive(CallReply("too early"), NOW)
        return session
    steps: list[tuple[State, Callable[[], Sequence[Effect]]]] = [
        (State.WELCOMING, lambda: session.receive(HELLO, NOW)),
        (State.LISTING_INVENTORY, lambda: session.opened(7, "c1", NOW)),
        (State.RECONCILING_INVENTORY, lambda: session.receive(Inventory([], last=True), NOW)),
        (State.OPEN, lambda: session.reconciled([])),
    ]
    for following, step in steps:
        if session.state is not state:
            step()
            assert session.state is following
    return session


def sent(effects: Sequence[Effect]) -> list[Sent]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


@pytest.mark.parametrize("state", State, ids=str)
@pytest.mark.parametrize("kind", AgentFrame, ids=str)
def test_agent_session_takes_or_refuses_every_frame_in_every_state(
    state: State, kind: AgentFrame
) -> None:
    session = make_session(state)
    effects = session.receive(MESSAGES[kind], NOW)
    if kind in NEXT[state]:
        assert session.state is NEXT[state][kind]
        assert not any(isinstance(effect, End) for effect in effects)
    elif state is State.ENDED:  # under way when the session ended
        assert (session.state, effects) == (State.ENDED, [])
    else:
        assert session.state is State.ENDED
        message = f"the agent sent {kind.value} while {state.value}"
        assert effects == [End("protocol", message)]


def test_hello_opens_a_session_and_its_epoch_is_welcomed() -> None:
    session = AgentSession(TIMINGS, NOW)
    agent = AgentInfo(
        agent_id="an agent",
        instance_id="an instance",
        software="volary-agent 0.1.0",
        protocol=1,
        capabilities=["python"],
    )
    assert session.receive(HELLO, NOW) == [OpenSession(agent)]
    assert sent(session.opened(7, "c1", NOW)) == [
        Welcome(
            epoch=7,
            protocol=1,
            heartbeat_every=TIMINGS.heartbeat,
            fence_after=TIMINGS.self_fence,
            reassign_after=TIMINGS.reassign_after,
            server_time=NOW,
            cluster="c1",
        )
    ]


@pytest.mark.parametrize(
    ("oldest", "newest", "remedy"),
    [(7, 9, "upgrade the control plane"), (0, 0, "upgrade the agent")],
)
def test_hello_of_another_protocol_ends_the_session_without_retry(
    oldest: int, newest: int, remedy: str
) -> None:
    session = AgentSession(TIMINGS, NOW)
    hello = replace(HELLO, protocol_min=oldest, protocol_max=newest)
    [end] = session.receive(hello, NOW)
    assert isinstance(end, End)
    assert (session.state, end.code, end.retry) == (State.ENDED, "protocol_version", False)
    assert remedy in end.message


def test_inventory_is_reconciled_once_it_is_whole() -> None:
    session = make_session(State.LISTING_INVENTORY)
    assert session.receive(Inventory([LEASE], last=False), NOW) == []
    effects = session.receive(Inventory([LEASE], last=True), NOW)
    assert effects == [ReconcileInventory([PAIR, PAIR])]


def test_inventory_over_its_limit_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_sessions, "MAX_INVENTORY", 1)
    session = make_session(State.LISTING_INVENTORY)
    session.receive(Inventory([LEASE], last=False), NOW)
    end = End("too_much", "the inventory lists more than 1 attempts")
    assert session.receive(Inventory([LEASE], last=True), NOW) == [end]
    assert session.state is State.ENDED


@pytest.mark.parametrize(
    ("count", "pages"), [(0, [0]), (2, [2]), (3, [2, 1])], ids=["none", "a page", "more"]
)
def test_inventory_decisions_are_paged_and_the_last_opens_the_session(
    monkeypatch: pytest.MonkeyPatch, count: int, pages: Sequence[int]
) -> None:
    monkeypatch.setattr(agent_sessions, "DECISIONS_PER_FRAME", 2)
    session = make_session(State.RECONCILING_INVENTORY)
    decisions = sent(session.reconciled([(*PAIR, InventoryDecision.KEEP)] * count))
    assert session.state is State.OPEN
    assert decisions == [
        InventoryDecisions([(LEASE, InventoryDecision.KEEP)] * size, last=at == len(pages) - 1)
        for at, size in enumerate(pages)
    ]


def test_frame_sent_out_of_order_is_an_error_of_ours() -> None:
    with pytest.raises(ProtocolError, match="control plane sent welcome while greeting"):
        AgentSession(TIMINGS, NOW).opened(1, "c1", NOW)


def test_ended_session_sends_nothing_more() -> None:
    session = make_session(State.ENDED)
    assert session.committed([ACKNOWLEDGED], [], NOW) == []
    assert session.state is State.ENDED


def test_acceptances_and_reports_are_committed_together_and_answered() -> None:
    session = make_session(State.OPEN)
    assert session.receive(Accepted([LEASE]), NOW) == [CommitReports()]
    assert session.receive(Reports([REPORT]), NOW) == [CommitReports()]
    commit = session.reports.next_commit()
    assert commit is not None
    assert (commit.accepted, commit.reports) == ([PAIR], [REPORT])
    answers = session.accepted(confirmed=[PAIR], stops=[STOP], not_leased=[PAIR])
    assert sent(answers) == [
        Confirmed([LEASE]),
        Stops([Stop(lease=LEASE, reason="aborted", forget=False)]),
        Stops([Stop(lease=LEASE, reason="the lease was released", forget=True)]),
    ]
    acknowledged = session.committed([ACKNOWLEDGED], [], NOW)
    assert sent(acknowledged) == [Acknowledgements([ACKNOWLEDGED])]


def test_commit_without_answers_sends_nothing() -> None:
    session = make_session(State.OPEN)
    assert session.accepted(confirmed=[], stops=[], not_leased=[]) == []
    assert session.committed([], [REPORT], NOW) == []


def test_reply_is_passed_to_its_call() -> None:
    session = make_session(State.OPEN)
    assert session.receive(CallReply("a reply"), NOW) == [PassReply("a reply")]


def test_credit_finds_work_and_bounds_the_claim() -> None:
    session = make_session(State.OPEN)
    assert session.begin_claim() == 0
    assert session.receive(Credit(3), NOW) == [FindWork()]
    assert session.begin_claim() == 3
    session.claimed(SPEC, 2)
    assert session.begin_claim() == 1
    session.receive(Credit(CLAIM_AT_ONCE + 10), NOW)
    assert session.begin_claim() == CLAIM_AT_ONCE


def test_credit_over_its_limit_ends_the_session() -> None:
    session = make_session(State.OPEN)
    [end] = session.receive(Credit(MAX_CREDIT_AHEAD + 1), NOW)
    assert isinstance(end, End)
    assert end.code == "protocol"
    assert session.state is State.ENDED


def test_desired_state_is_sent_when_it_changes_and_finds_work() -> None:
    session = make_session(State.OPEN)
    first = session.claimed(SPEC, 0)
    assert sent(first) == [DesiredState(version=1, cordoned=False, draining=False)]
    assert FindWork() in first
    assert session.claimed(SPEC, 0) == []
    cordoned = replace(SPEC, version=2, cordoned=True)
    assert sent(session.claimed(cordoned, 0)) == [DesiredState(version=2, cordoned=True)]


@pytest.mark.parametrize(
    ("spec", "credit", "pools", "relevant"),
    [
        (SPEC, 1, ["here"], True),
        (SPEC, 1, [ANY_POOL], True),
        (SPEC, 1, ["there"], False),
        (SPEC, 0, ["here"], False),
        (replace(SPEC, cordoned=True), 1, ["here"], False),
        (replace(SPEC, draining=True), 1, ["here"], False),
    ],
    ids=["pool", "any pool", "another pool", "no credit", "cordoned", "draining"],
)
def test_work_notification_is_relevant_with_credit_in_the_clusters_pool(
    spec: ClusterSpec, credit: int, pools: Sequence[str], *, relevant: bool
) -> None:
    session = make_session(State.OPEN)
    assert session.is_relevant(pools)  # its pool is not known yet
    session.receive(Credit(credit), NOW)
    session.begin_claim()
    assert session.is_relevant(pools)  # what the claim leaves is not known yet
    session.claimed(spec, 0)
    assert session.is_relevant(pools) is relevant


def test_assignment_brings_only_specs_that_the_agent_lacks() -> None:
    session = make_session(State.OPEN)
    specs = {Digest(bytes([number]) * 32): b"spec" for number in range(3)}
    first, second, third = specs
    one = replace(make_assignment(1), task_spec=first, run_spec=third)
    two = replace(make_assignment(2), task_spec=second, run_spec=third)
    assert session.unsent_specs([one, two]) == {first, second, third}
    assert sent(session.assign([one], {first: b"spec", third: b"spec"})) == [
        Assignments([one], {first: b"spec", third: b"spec"})
    ]
    assert session.unsent_specs([one, two]) == {second}


def test_stop_is_sent_once_while_it_is_requested() -> None:
    session = make_session(State.OPEN)
    stops = [Stops([Stop(lease=LEASE, reason="aborted", forget=False)])]
    assert sent(session.stop([STOP])) == stops
    assert session.stop([STOP]) == []
    assert session.stop([]) == []
    assert sent(session.stop([replace(STOP, stop_reason=None)])) == [
        Stops([Stop(lease=LEASE, reason="", forget=False)])
    ]


def test_claim_pause_is_until_the_next_work_within_bounds() -> None:
    pause = AgentSession.claim_pause
    assert pause(None, NOW) == POLL_INTERVAL
    assert pause(NOW + SECOND, NOW) == SECOND
    assert pause(NOW - SECOND, NOW) == agent_sessions.RETRY_INTERVAL
    assert pause(NOW + timedelta(hours=1), NOW) == POLL_INTERVAL


def test_heartbeat_is_recorded_with_the_agents_load_and_acknowledged() -> None:
    session = make_session(State.OPEN)
    session.receive(Credit(5), NOW)
    session.receive(Heartbeat(number=41, sent_at=NOW, held=2**32 - 1, running=2), NOW + SECOND)
    later = NOW + 2 * SECOND
    load = AgentLoad(held=agent_sessions.MAX_INVENTORY, running=2, slots=5, counted_at=NOW + SECOND)
    recorded = RecordHeartbeat(load, 41, later)
    assert session.tick(later) == [recorded]
    assert sent(session.heartbeat_recorded(recorded, SPEC)) == [
        DesiredState(version=1),
        Heartbeat(number=1, sent_at=later, noted=41),
    ]
    assert sent(session.heartbeat_recorded(recorded, SPEC)) == [
        Heartbeat(number=2, sent_at=later, noted=41)
    ]


def test_latest_findings_are_stored_with_the_next_heartbeat() -> None:
    session = make_session(State.OPEN)
    assert session.receive(Findings([], NOW), NOW) == []
    assert session.receive(Findings([], NOW + SECOND), NOW) == []
    assert session.tick(NOW)[1:] == [RecordFindings(Findings([], NOW + SECOND))]
    assert len(session.tick(NOW)) == 1


def test_restored_org_changes_the_desired_state_without_a_new_version() -> None:
    session = make_session(State.OPEN)
    session.claimed(SPEC, 0)
    deleted = replace(SPEC, cordoned=True, end_attempts="the org was deleted")
    told = DesiredState(version=1, cordoned=True, end_attempts="the org was deleted")
    assert [sent(session.claimed(deleted, 0)) for _ in range(2)] == [[told], []]
    assert sent(session.claimed(SPEC, 0)) == [DesiredState(version=1)]


def test_load_has_no_time_before_the_agents_first_heartbeat() -> None:
    [effect] = make_session(State.OPEN).tick(NOW)
    assert effect == RecordHeartbeat(AgentLoad(), 0, NOW)


def test_session_ends_when_no_frame_comes_within_the_timeout() -> None:
    session = make_session(State.OPEN)
    assert not isinstance(session.tick(NOW + TIMINGS.silent_after)[0], End)
    end = End("silent", "the agent sent no frame in time")
    assert session.tick(NOW + TIMINGS.silent_after + SECOND) == [end]
    assert session.state is State.ENDED


def test_session_timeout_is_not_prolonged_by_clock_set_back() -> None:
    session = make_session(State.OPEN)
    hour = timedelta(hours=1)
    session.tick(NOW - hour)
    [effect] = session.tick(NOW - hour + TIMINGS.silent_after + SECOND)
    assert isinstance(effect, End)


def test_session_timeout_does_not_count_while_no_frame_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_queue, "MAX_UNCOMMITTED", 0)
    session = make_session(State.OPEN)
    session.receive(Reports([REPORT]), NOW)
    session.reports.next_commit()
    late = NOW + timedelta(hours=1)
    assert not isinstance(session.tick(late)[0], End)
    session.committed([], [], late)
    assert not isinstance(session.tick(late + TIMINGS.silent_after)[0], End)
    assert isinstance(session.tick(late + TIMINGS.silent_after + SECOND)[0], End)
