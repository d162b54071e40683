"""Converts the agent's frames to messages, and the control plane's messages to frames."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import assert_never

from controlplane.core.agent_session_effects import CallReply, Received, Sent
from controlplane.core.link_protocol import require_frame_size
from shared.idl.agent.v1 import assignment_pb2, call_pb2, link_pb2, report_pb2
from shared.kit.timestamps import to_us
from shared.model.ids import AttemptId
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
    Rejected,
    Reports,
    Stops,
    Welcome,
)
from shared.wire.assignments import render_assignment
from shared.wire.fields import MAX_CODE_BYTES, parse_timestamp, parse_words
from shared.wire.findings import parse_findings
from shared.wire.ids import parse_lease, render_attempt_id, render_lease
from shared.wire.reports import parse_report, render_acknowledgement

MAX_CAPABILITIES = 100
MAX_KEY_BYTES = 256  # a longer one is no P-256 key

_MILLISECOND = timedelta(milliseconds=1)

_KINDS: Mapping[InventoryDecision, link_pb2.VerdictOnLease.Kind] = {
    InventoryDecision.KEEP: link_pb2.VerdictOnLease.KIND_KEEP,
    InventoryDecision.STOP: link_pb2.VerdictOnLease.KIND_STOP,
    InventoryDecision.FORGET: link_pb2.VerdictOnLease.KIND_FORGET,
}


def parse_frame(frame: link_pb2.AgentFrame) -> Received | None:
    """
    Return the message; None for a kind of a later release, which is ignored.

    BadMessageError for an invalid field, ProtocolError for a frame with too many items.
    """
    match frame.WhichOneof("frame"):
        case "hello":
            return _parse_hello(frame.hello)
        case "inventory":
            return Inventory(_parse_leases(frame.inventory.leases), frame.inventory.last)
        case "credit":
            return Credit(frame.credit.total)
        case "accepted":
            return Accepted(_parse_leases(frame.accepted.leases))
        case "reports":
            require_frame_size(len(frame.reports.reports))
            return Reports([parse_report(each) for each in frame.reports.reports])
        case "heartbeat":
            return Heartbeat(
                number=frame.heartbeat.number,
                sent_at=parse_timestamp(frame.heartbeat.sent_at_us),
                held=frame.heartbeat.held,
                running=frame.heartbeat.running,
            )
        case "findings":
            return parse_findings(frame.findings)
        case "reply":
            return CallReply(frame.reply)
        case _:
            return None


def _parse_hello(hello: link_pb2.Hello) -> Hello:
    capabilities = hello.capabilities[:MAX_CAPABILITIES]
    return Hello(
        agent_id=parse_words(hello.agent_id, MAX_CODE_BYTES),
        instance_id=parse_words(hello.instance_id, MAX_CODE_BYTES),
        protocol_min=hello.protocol_min,
        protocol_max=hello.protocol_max,
        software=parse_words(hello.software, MAX_CODE_BYTES),
        capabilities=[parse_words(each, MAX_CODE_BYTES) for each in capabilities],
        last_epoch=hello.last_epoch,
        secrets_key=hello.secrets_key[:MAX_KEY_BYTES],
        org=parse_words(hello.org, MAX_CODE_BYTES),
        cluster=parse_words(hello.cluster, MAX_CODE_BYTES),
    )


def _parse_leases(leases: Sequence[assignment_pb2.Lease]) -> Sequence[Lease]:
    require_frame_size(len(leases))
    return [Lease(*parse_lease(lease)) for lease in leases]


def render_frame(message: Sent) -> link_pb2.ControlFrame:
    match message:
        case Welcome():
            return link_pb2.ControlFrame(welcome=_render_welcome(message))
        case Rejected():
            return link_pb2.ControlFrame(refusal=_render_rejected(message))
        case InventoryDecisions():
            return link_pb2.ControlFrame(verdicts=_render_decisions(message))
        case Assignments():
            return link_pb2.ControlFrame(
                assignments=assignment_pb2.AssignmentBatch(
                    specs=[
                        assignment_pb2.Spec(digest=digest, body=body)
                        for digest, body in message.specs.items()
                    ],
                    assignments=[render_assignment(each) for each in message.assignments],
                )
            )
        case Acknowledgements(acknowledgements):
            return link_pb2.ControlFrame(
                acknowledgements=report_pb2.AcknowledgementBatch(
                    acknowledgements=[render_acknowledgement(each) for each in acknowledgements]
                )
            )
        case Stops(stops):
            return link_pb2.ControlFrame(
                stops=link_pb2.StopBatch(
                    stops=[
                        link_pb2.Stop(
                            lease=_render_lease(stop.lease), reason=stop.reason, forget=stop.forget
                        )
                        for stop in stops
                    ]
                )
            )
        case Confirmed(leases):
            return link_pb2.ControlFrame(
                confirmed=assignment_pb2.Confirmed(leases=[_render_lease(each) for each in leases])
            )
        case DesiredState():
            return link_pb2.ControlFrame(
                wanted=link_pb2.Wanted(
                    version=message.version,
                    cordoned=message.cordoned,
                    draining=message.draining,
                    renew_serial=message.renew_serial,
                    end_attempts=message.end_attempts,
                )
            )
        case Heartbeat():
            return link_pb2.ControlFrame(
                heartbeat=link_pb2.Heartbeat(
                    number=message.number, sent_at_us=to_us(message.sent_at), noted=message.noted
                )
            )
        case _:
            assert_never(message)


def _render_welcome(welcome: Welcome) -> link_pb2.Welcome:
    return link_pb2.Welcome(
        epoch=welcome.epoch,
        protocol=welcome.protocol,
        heartbeat_ms=welcome.heartbeat_every // _MILLISECOND,
        self_fence_ms=welcome.fence_after // _MILLISECOND,
        reassign_after_ms=welcome.reassign_after // _MILLISECOND,
        server_time_us=to_us(welcome.server_time),
        cluster=welcome.cluster,
    )


def _render_rejected(rejected: Rejected) -> link_pb2.Refusal:
    return link_pb2.Refusal(
        code=rejected.code,
        message=rejected.message,
        retry=rejected.retry,
        end_attempts=rejected.end_attempts,
        retry_after_ms=(rejected.retry_after or timedelta()) // _MILLISECOND,
    )


def _render_decisions(message: InventoryDecisions) -> link_pb2.Verdicts:
    return link_pb2.Verdicts(
        verdicts=[
            link_pb2.VerdictOnLease(lease=_render_lease(lease), kind=_KINDS[decision])
            for lease, decision in message.decisions
        ],
        last=message.last,
    )


def _render_lease(lease: Lease) -> assignment_pb2.Lease:
    return render_lease(lease.attempt, lease.id)


def render_follow_logs(attempt: AttemptId, after_line: int) -> call_pb2.Call:
    return call_pb2.Call(
        follow_logs=call_pb2.FollowLogs(
            attempt=render_attempt_id(attempt), after_line=after_line, partial_lines=True
        )
    )


def render_call(call: int, request: call_pb2.Call) -> link_pb2.ControlFrame:
    """Render ``request`` as a call with a number that is unique in this session."""
    frame = link_pb2.ControlFrame(call=request)
    frame.call.id = call
    return frame


def render_call_credit(call: int, chunks: int) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(call_credit=call_pb2.CallCredit(id=call, chunks=chunks))


def render_call_cancel(call: int) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(call_cancel=call_pb2.CallCancel(id=call))
