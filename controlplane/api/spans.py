"""
Spans of calls, and of the actions that they create.

The span of a call is a child of the caller's, if it sent a ``traceparent``; otherwise of the action
that the call is about. Where a call creates an action, that one has a span of its own in the trace
of its run, with the id that all parts of it know.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from connectrpc.code import Code
from google.protobuf.message import Message

from controlplane.api.subjects import Subject, find_subject
from shared.kit.clock import Clock
from shared.model.ids import ActionKey, OrgName
from shared.model.traces import (
    TraceContext,
    context_of_action,
    is_sampled,
    parse_traceparent,
    trace_id_of,
)
from shared.traces.spans import Span, SpanKind, SpanRecorder

_CREATING = frozenset({
    "flyteidl2.actions.ActionsService/Enqueue",
    "flyteidl2.workflow.RunService/CreateRun",
})  # fmt: skip
_FAULTS = frozenset(
    code.value
    for code in (
        Code.DATA_LOSS,
        Code.DEADLINE_EXCEEDED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.UNKNOWN,
    )
)
"""The codes that are our faults, and errors of a span; others are the caller's."""
_CREATED_DEPTH = 3


@dataclass(slots=True, kw_only=True)  # not frozen, which takes thrice the time to make
class EndedCall:
    rpc: str
    org: OrgName | None
    code: str
    message: str  # of its error
    traceparent: str  # that the caller sent; "" for none
    request: object
    response: Message | None  # of a unary call that succeeded
    seconds: float


class CallSpans:
    def __init__(self, spans: SpanRecorder, clock: Clock) -> None:
        self._spans = spans
        self._clock = clock
        self.is_on = spans.is_on

    def record(self, call: EndedCall) -> None:
        """Record a call, if it is sampled or failed by our fault."""
        subject = _subject_of(call)
        error = call.message or call.code if call.code in _FAULTS else ""
        if not error and not self._is_sampled(call, subject):
            return
        parent = self._parent(call, subject)
        now = self._clock.now()
        span = Span(
            name=call.rpc,
            context=TraceContext(parent.trace_id, _span_id(), parent.sampled),
            parent=parent.span_id,
            started_at=now - timedelta(seconds=call.seconds),
            ended_at=now,
            kind=SpanKind.SERVER,
            attributes=_attributes(call, subject),
            error=error,
        )
        self._spans.record(span)
        if subject is not None and call.org is not None and _is_creating(call):
            self._record_action(call.org, subject.action, span)

    def _is_sampled(self, call: EndedCall, subject: Subject | None) -> bool:
        """Return whether to record a call without an error: most are not, so this is short."""
        if call.traceparent and (sent := parse_traceparent(call.traceparent)) is not None:
            return sent.sampled
        if subject is None or call.org is None:
            return random.random() < self._spans.ratio  # noqa: S311 - no secret
        return is_sampled(trace_id_of(call.org, subject.action.run), self._spans.ratio)

    def _parent(self, call: EndedCall, subject: Subject | None) -> TraceContext:
        """Return the span that the call belongs to; one without an id for none."""
        if (sent := parse_traceparent(call.traceparent)) is not None:
            return sent
        if subject is None or call.org is None:
            trace_id = f"{random.getrandbits(128):032x}"
            return TraceContext(trace_id, "", sampled=True)
        about = subject.action
        if subject.parent is not None:
            about = ActionKey(about.run, subject.parent)
        found = context_of_action(call.org, about, ratio=self._spans.ratio)
        if subject.parent is None and _is_creating(call):
            return TraceContext(found.trace_id, "", found.sampled)  # the call creates the run
        return found

    def _record_action(self, org: OrgName, action: ActionKey, call: Span) -> None:
        own = context_of_action(org, action, ratio=self._spans.ratio)
        is_same = own.trace_id == call.context.trace_id
        self._spans.record(
            Span(
                name="enqueue action",
                context=TraceContext(own.trace_id, own.span_id, own.sampled),
                parent=call.context.span_id if is_same else "",
                started_at=call.started_at,
                ended_at=call.ended_at,
                kind=SpanKind.PRODUCER,
                attributes=call.attributes,
                links=() if is_same else (call.context,),
            )
        )


def _subject_of(call: EndedCall) -> Subject | None:
    found = find_subject(call.request)
    if found is None and call.response is not None and call.rpc in _CREATING:
        return find_subject(call.response, depth=_CREATED_DEPTH)
    return found


def _is_creating(call: EndedCall) -> bool:
    return call.rpc in _CREATING and call.response is not None


def _attributes(call: EndedCall, subject: Subject | None) -> Mapping[str, str | int]:
    attributes: dict[str, str | int] = {
        "rpc.system.name": "connectrpc",
        "rpc.method": call.rpc,
        "rpc.response.status_code": call.code,
    }
    if call.org is not None:
        attributes["volary.org"] = call.org
    if subject is not None:
        attributes["volary.action"] = str(subject.action)
    return attributes


def _span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
