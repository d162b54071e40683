"""Renders the frames the control plane sends (``shared/idl/agent/v1/link.proto``)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from controlplane.core.agent_sessions import FrameKind, InventoryDecision, LeaseRecord
from controlplane.core.clusters import ClusterSpec
from shared.idl.agent.v1 import assignment_pb2, call_pb2, link_pb2, report_pb2
from shared.kit.timestamps import to_us
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.reports import Acknowledgement
from shared.wire.assignments import render_assignment
from shared.wire.ids import render_attempt_id, render_lease
from shared.wire.reports import render_acknowledgement

BATCH_BYTES = 8 * 1024 * 1024

_MILLISECOND = timedelta(milliseconds=1)

_KINDS: Mapping[InventoryDecision, link_pb2.VerdictOnLease.Kind] = {
    InventoryDecision.KEEP: link_pb2.VerdictOnLease.KIND_KEEP,
    InventoryDecision.STOP: link_pb2.VerdictOnLease.KIND_STOP,
    InventoryDecision.FORGET: link_pb2.VerdictOnLease.KIND_FORGET,
}


def frame_kind(frame: link_pb2.AgentFrame) -> FrameKind | None:
    """Return the kind of a frame; None for one of a later release, which is ignored."""
    match frame.WhichOneof("frame"):
        case "hello":
            return FrameKind.HELLO
        case "inventory":
            return FrameKind.LAST_INVENTORY if frame.inventory.last else FrameKind.INVENTORY
        case "credit":
            return FrameKind.CREDIT
        case "accepted":
            return FrameKind.ACCEPTED
        case "reports":
            return FrameKind.REPORTS
        case "heartbeat":
            return FrameKind.HEARTBEAT
        case "reply":
            return FrameKind.REPLY
        case _:
            return None


def render_welcome(
    *,
    epoch: int,
    protocol: int,
    cluster: str,
    heartbeat: timedelta,
    self_fence: timedelta,
    reassign_after: timedelta,
    now: datetime,
) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(
        welcome=link_pb2.Welcome(
            epoch=epoch,
            protocol=protocol,
            heartbeat_ms=heartbeat // _MILLISECOND,
            self_fence_ms=self_fence // _MILLISECOND,
            reassign_after_ms=reassign_after // _MILLISECOND,
            server_time_us=to_us(now),
            cluster=cluster,
        )
    )


def render_rejection(code: str, message: str, *, retry: bool) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(refusal=link_pb2.Refusal(code=code, message=message, retry=retry))


def render_inventory_decisions(
    decisions: Sequence[tuple[AttemptId, LeaseId, InventoryDecision]], *, last: bool
) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(
        verdicts=link_pb2.Verdicts(
            verdicts=[
                link_pb2.VerdictOnLease(lease=render_lease(attempt, lease), kind=_KINDS[decision])
                for attempt, lease, decision in decisions
            ],
            last=last,
        )
    )


def render_assignments(
    assignments: Iterable[Assignment], specs: Mapping[Digest, bytes]
) -> Iterator[link_pb2.ControlFrame]:
    """
    Render assignments with those specs that the session has not sent yet.

    A spec comes in or before the frame that first names it; no frame has many bytes of
    specs beyond ``BATCH_BYTES``, however many assignments bring a large one each.
    """
    unsent = dict(specs)
    batch: list[Assignment] = []
    along: dict[Digest, bytes] = {}
    size = 0
    for assignment in assignments:
        named = {assignment.task_spec, assignment.run_spec}
        new = {digest: unsent.pop(digest) for digest in named if digest in unsent}
        weight = sum(len(body) for body in new.values())
        if batch and size + weight > BATCH_BYTES:
            yield _render_batch(batch, along)
            batch, along, size = [], {}, 0
        batch.append(assignment)
        along |= new
        size += weight
    if batch:
        yield _render_batch(batch, along)


def _render_batch(
    assignments: Iterable[Assignment], specs: Mapping[Digest, bytes]
) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(
        assignments=assignment_pb2.AssignmentBatch(
            specs=[assignment_pb2.Spec(digest=digest, body=body) for digest, body in specs.items()],
            assignments=[render_assignment(assignment) for assignment in assignments],
        )
    )


def render_acknowledgements(
    acknowledgements: Iterable[Acknowledgement],
) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(
        acknowledgements=report_pb2.AcknowledgementBatch(
            acknowledgements=[render_acknowledgement(each) for each in acknowledgements]
        )
    )


def render_stops(stops: Iterable[LeaseRecord]) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(
        stops=link_pb2.StopBatch(
            stops=[
                link_pb2.Stop(
                    lease=render_lease(each.attempt, each.lease), reason=each.stop_reason or ""
                )
                for each in stops
            ]
        )
    )


def render_forget(leases: Iterable[tuple[AttemptId, LeaseId]]) -> link_pb2.ControlFrame:
    """Render stops of attempts no longer leased to the agent, on which it must not report."""
    return link_pb2.ControlFrame(
        stops=link_pb2.StopBatch(
            stops=[
                link_pb2.Stop(
                    lease=render_lease(attempt, lease), reason="the lease was released", forget=True
                )
                for attempt, lease in leases
            ]
        )
    )


def render_confirmed(leases: Iterable[tuple[AttemptId, LeaseId]]) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(
        confirmed=assignment_pb2.Confirmed(
            leases=[render_lease(attempt, lease) for attempt, lease in leases]
        )
    )


def render_desired_state(spec: ClusterSpec) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(
        wanted=link_pb2.Wanted(version=spec.version, cordoned=spec.cordoned, draining=spec.draining)
    )


def render_heartbeat(number: int, now: datetime, *, noted: int) -> link_pb2.ControlFrame:
    """Render a heartbeat; ``noted`` is the agent's latest heartbeat that the store recorded."""
    return link_pb2.ControlFrame(
        heartbeat=link_pb2.Heartbeat(number=number, sent_at_us=to_us(now), noted=noted)
    )


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
