"""Tests of the conversion of frames to messages and back."""

import hashlib
from datetime import timedelta

import pytest

from dataplane.agent.link.frames import parse_frame, render_frame
from shared.idl.agent.v1 import assignment_pb2, call_pb2, link_pb2
from shared.model.assignments import UnknownAssignment
from shared.model.ids import Digest
from shared.model.link_messages import (
    Accepted,
    AgentMessage,
    Assignments,
    CallError,
    Credit,
    DesiredState,
    Done,
    Heartbeat,
    Inventory,
    InventoryDecision,
    InventoryDecisions,
    Lease,
    Reply,
    Reports,
    Stop,
    Stops,
    Welcome,
)
from shared.model.logs import LogChunk, LogLine
from shared.model.phases import Phase
from shared.wire.assignments import render_assignment
from shared.wire.fields import BadMessageError
from shared.wire.ids import render_lease
from tests.unit.agent.assignments import NOW, make_active, make_assignment
from tests.unit.agent.test_outbox import make_reports
from tests.unit.agent.test_session import HELLO

LEASE = make_active().lease
WIRE_LEASE = render_lease(LEASE.attempt, LEASE.id)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (HELLO, "hello"),
        (Inventory([LEASE], last=True), "inventory"),
        (Credit(7), "credit"),
        (Accepted([LEASE]), "accepted"),
        (Reports(make_reports(1, Phase.RUNNING)), "reports"),
        (Heartbeat(number=3, sent_at=NOW, held=2, running=1), "heartbeat"),
        (Reply(1, LogChunk([LogLine(NOW, "x")], 1)), "reply"),
        (Reply(1, Done()), "reply"),
        (Reply(1, CallError("not_found", "no")), "reply"),
    ],
    ids=["hello", "inventory", "credit", "accepted", "reports", "beat", "chunk", "done", "error"],
)
def test_agent_message_has_a_frame(message: AgentMessage, kind: str) -> None:
    assert render_frame(message).WhichOneof("frame") == kind


def test_welcome_frame_is_parsed() -> None:
    frame = link_pb2.ControlFrame(
        welcome=link_pb2.Welcome(epoch=3, protocol=1, heartbeat_ms=5000, cluster="local")
    )
    message = parse_frame(frame)

    assert isinstance(message, Welcome)
    assert (message.epoch, message.heartbeat_every) == (3, timedelta(seconds=5))


@pytest.mark.parametrize(
    "welcome",
    [link_pb2.Welcome(epoch=0, heartbeat_ms=1), link_pb2.Welcome(epoch=1)],
    ids=["no-epoch", "no-heartbeat"],
)
def test_welcome_frame_without_epoch_or_heartbeat_is_rejected(welcome: link_pb2.Welcome) -> None:
    with pytest.raises(BadMessageError, match="welcome"):
        parse_frame(link_pb2.ControlFrame(welcome=welcome))


def test_assignments_frame_is_parsed_with_specs() -> None:
    assignment = make_assignment()
    digest = Digest(hashlib.sha256(b"spec").digest())
    frame = link_pb2.ControlFrame(
        assignments=assignment_pb2.AssignmentBatch(
            specs=[assignment_pb2.Spec(digest=digest, body=b"spec")],
            assignments=[render_assignment(assignment)],
        )
    )

    assert parse_frame(frame) == Assignments([assignment], {digest: b"spec"}, [])


def test_spec_with_wrong_digest_is_rejected() -> None:
    spec = assignment_pb2.Spec(digest=b"x" * 32, body=b"spec")
    frame = link_pb2.ControlFrame(assignments=assignment_pb2.AssignmentBatch(specs=[spec]))

    with pytest.raises(BadMessageError, match=r"spec\.digest"):
        parse_frame(frame)


def test_stops_and_inventory_decisions_are_parsed() -> None:
    stop = link_pb2.Stop(lease=WIRE_LEASE, reason="abort", forget=True)
    stops = link_pb2.ControlFrame(stops=link_pb2.StopBatch(stops=[stop]))
    status = link_pb2.VerdictOnLease(lease=WIRE_LEASE, kind=link_pb2.VerdictOnLease.KIND_FORGET)
    decisions = link_pb2.ControlFrame(verdicts=link_pb2.Verdicts(verdicts=[status], last=True))

    assert parse_frame(stops) == Stops([Stop(lease=LEASE, reason="abort", forget=True)])
    assert parse_frame(decisions) == InventoryDecisions(
        [(LEASE, InventoryDecision.FORGET)], last=True
    )
    assert isinstance(LEASE, Lease)


def test_unknown_inventory_decision_is_rejected() -> None:
    status = link_pb2.VerdictOnLease(lease=WIRE_LEASE)
    frame = link_pb2.ControlFrame(verdicts=link_pb2.Verdicts(verdicts=[status]))

    with pytest.raises(BadMessageError, match=r"verdict\.kind"):
        parse_frame(frame)


def test_desired_state_frame_is_parsed() -> None:
    frame = link_pb2.ControlFrame(
        wanted=link_pb2.Wanted(version=2, cordoned=True, reconnect_after_ms=1500)
    )

    assert parse_frame(frame) == DesiredState(
        version=2, cordoned=True, reconnect_after=timedelta(seconds=1.5)
    )


def test_unknown_call_has_no_request() -> None:
    message = parse_frame(link_pb2.ControlFrame(call=call_pb2.Call(id=5)))

    assert message is not None
    assert getattr(message, "request", "?") is None


def test_frame_of_later_release_is_skipped() -> None:
    assert parse_frame(link_pb2.ControlFrame()) is None


def test_assignment_of_an_unknown_kind_has_only_its_lease() -> None:
    known = make_assignment(2)
    later = assignment_pb2.Assignment(attempt=WIRE_LEASE.attempt, lease_id=WIRE_LEASE.lease_id)
    later.kind = 7  # type: ignore[assignment] # enums are open
    batch = assignment_pb2.AssignmentBatch(assignments=[later, render_assignment(known)])
    parsed = parse_frame(link_pb2.ControlFrame(assignments=batch))

    unknown = UnknownAssignment(attempt=LEASE.attempt, lease=LEASE.id, kind=7)
    assert parsed == Assignments([known], {}, [unknown])


def test_assignment_of_a_release_before_kinds_is_an_action() -> None:
    earlier = render_assignment(make_assignment())
    earlier.ClearField("kind")
    batch = assignment_pb2.AssignmentBatch(assignments=[earlier])

    parsed = parse_frame(link_pb2.ControlFrame(assignments=batch))
    assert parsed == Assignments([make_assignment()], {}, [])
