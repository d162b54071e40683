"""Converts protobuf frames to messages and back; invalid frames raise BadMessageError."""

import hashlib
from datetime import timedelta
from typing import assert_never

from shared.idl.agent.v1 import assignment_pb2, call_pb2, link_pb2, report_pb2
from shared.kit.timestamps import to_us
from shared.model.findings import Findings
from shared.model.ids import Digest
from shared.model.link_messages import (
    Accepted,
    Acknowledgements,
    AgentMessage,
    Assignments,
    Call,
    CallCancel,
    CallCredit,
    CallError,
    Confirmed,
    ControlMessage,
    Credit,
    DesiredState,
    Done,
    FollowLogs,
    Heartbeat,
    Hello,
    Inventory,
    InventoryDecision,
    InventoryDecisions,
    Lease,
    Rejected,
    Reply,
    Reports,
    Stop,
    Stops,
    Welcome,
)
from shared.model.logs import LogChunk
from shared.wire.assignments import parse_assignments
from shared.wire.fields import BadMessageError, parse_timestamp
from shared.wire.findings import render_findings
from shared.wire.ids import (
    parse_attempt_id,
    parse_digest,
    parse_lease,
    parse_lease_id,
    render_lease,
)
from shared.wire.logs import render_log_chunk
from shared.wire.reports import parse_acknowledgement, render_report


def render_frame(message: AgentMessage) -> link_pb2.AgentFrame:
    match message:
        case Hello():
            return link_pb2.AgentFrame(
                hello=link_pb2.Hello(
                    agent_id=message.agent_id,
                    instance_id=message.instance_id,
                    protocol_min=message.protocol_min,
                    protocol_max=message.protocol_max,
                    software=message.software,
                    capabilities=message.capabilities,
                    last_epoch=message.last_epoch,
                    secrets_key=message.secrets_key,
                    org=message.org,
                    cluster=message.cluster,
                )
            )
        case Inventory():
            return link_pb2.AgentFrame(
                inventory=link_pb2.Inventory(
                    leases=[render_lease(lease.attempt, lease.id) for lease in message.leases],
                    last=message.last,
                )
            )
        case Credit():
            return link_pb2.AgentFrame(credit=link_pb2.Credit(total=message.total))
        case Accepted():
            return link_pb2.AgentFrame(
                accepted=assignment_pb2.Accepted(
                    leases=[render_lease(lease.attempt, lease.id) for lease in message.leases]
                )
            )
        case Reports():
            return link_pb2.AgentFrame(
                reports=report_pb2.ReportBatch(
                    reports=[render_report(report) for report in message.reports]
                )
            )
        case Heartbeat():
            return link_pb2.AgentFrame(
                heartbeat=link_pb2.Heartbeat(
                    number=message.number,
                    sent_at_us=to_us(message.sent_at),
                    held=message.held,
                    running=message.running,
                )
            )
        case Reply():
            return link_pb2.AgentFrame(reply=_render_reply(message))
        case Findings():
            return link_pb2.AgentFrame(findings=render_findings(message))
        case _:
            assert_never(message)


def _render_reply(reply: Reply) -> call_pb2.Reply:
    match reply.answer:
        case LogChunk():
            return call_pb2.Reply(id=reply.call, log_chunk=render_log_chunk(reply.answer))
        case Done():
            return call_pb2.Reply(id=reply.call, done=call_pb2.Done())
        case CallError(code, message):
            return call_pb2.Reply(
                id=reply.call, error=call_pb2.CallError(code=code, message=message)
            )
        case _:
            assert_never(reply.answer)


def parse_frame(frame: link_pb2.ControlFrame) -> ControlMessage | None:
    """Return the message; None for a kind that this release does not know."""
    match frame.WhichOneof("frame"):
        case "welcome":
            return _parse_welcome(frame.welcome)
        case "refusal":
            return _parse_rejected(frame.refusal)
        case "verdicts":
            return InventoryDecisions(
                [_parse_decision(status) for status in frame.verdicts.verdicts],
                frame.verdicts.last,
            )
        case "assignments":
            assignments, unknown = parse_assignments(frame.assignments.assignments)
            specs = dict(_parse_spec(spec) for spec in frame.assignments.specs)
            return Assignments(assignments, specs, unknown)
        case "confirmed":
            return Confirmed([Lease(*parse_lease(lease)) for lease in frame.confirmed.leases])
        case "acknowledgements":
            return Acknowledgements(
                [parse_acknowledgement(item) for item in frame.acknowledgements.acknowledgements]
            )
        case "stops":
            return Stops(
                [
                    Stop(
                        lease=Lease(*parse_lease(stop.lease)),
                        reason=stop.reason,
                        forget=stop.forget,
                    )
                    for stop in frame.stops.stops
                ]
            )
        case "wanted":
            desired = frame.wanted
            delay = desired.reconnect_after_ms
            return DesiredState(
                version=desired.version,
                cordoned=desired.cordoned,
                draining=desired.draining,
                reconnect_after=timedelta(milliseconds=delay) if delay else None,
                renew_serial=desired.renew_serial,
                end_attempts=desired.end_attempts,
            )
        case "heartbeat":
            return Heartbeat(
                number=frame.heartbeat.number,
                sent_at=parse_timestamp(frame.heartbeat.sent_at_us),
                noted=frame.heartbeat.noted,
            )
        case "call":
            return Call(frame.call.id, _parse_follow(frame.call))
        case "call_credit":
            return CallCredit(frame.call_credit.id, frame.call_credit.chunks)
        case "call_cancel":
            return CallCancel(frame.call_cancel.id)
        case _:
            return None


def _parse_welcome(welcome: link_pb2.Welcome) -> Welcome:
    if welcome.epoch < 1:
        raise BadMessageError(f"welcome.epoch is {welcome.epoch}; epochs count from 1")
    if welcome.heartbeat_ms < 1:
        raise BadMessageError("welcome.heartbeat_ms is 0; a session needs a heartbeat")
    return Welcome(
        epoch=welcome.epoch,
        protocol=welcome.protocol,
        heartbeat_every=timedelta(milliseconds=welcome.heartbeat_ms),
        fence_after=timedelta(milliseconds=welcome.self_fence_ms),
        reassign_after=timedelta(milliseconds=welcome.reassign_after_ms),
        server_time=parse_timestamp(welcome.server_time_us),
        cluster=welcome.cluster,
    )


def _parse_rejected(refusal: link_pb2.Refusal) -> Rejected:
    after = refusal.retry_after_ms
    return Rejected(
        refusal.code,
        refusal.message,
        refusal.retry,
        end_attempts=refusal.end_attempts,
        retry_after=timedelta(milliseconds=after) if after else None,
    )


def _parse_decision(status: link_pb2.VerdictOnLease) -> tuple[Lease, InventoryDecision]:
    attempt = parse_attempt_id(status.lease.attempt)
    lease = Lease(attempt, parse_lease_id(status.lease.lease_id))
    try:
        return lease, InventoryDecision(status.kind)
    except ValueError as error:
        raise BadMessageError(
            f"verdict.kind is {status.kind}, which this release does not know"
        ) from error


def _parse_spec(spec: assignment_pb2.Spec) -> tuple[Digest, bytes]:
    if hashlib.sha256(spec.body).digest() != spec.digest:
        raise BadMessageError("spec.digest is not the SHA-256 of spec.body")
    return parse_digest(spec.digest, "spec.digest"), spec.body


def _parse_follow(call: call_pb2.Call) -> FollowLogs | None:
    if call.WhichOneof("wish") != "follow_logs":
        return None
    follow = call.follow_logs
    return FollowLogs(parse_attempt_id(follow.attempt), follow.after_line, follow.partial_lines)
