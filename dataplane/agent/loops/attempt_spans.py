"""
Spans of attempts: from acceptance to the end, and of it the start of the pod or process.

The assignment has the context of the attempt's span. Other spans of the attempt are its children.
"""

from datetime import datetime

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from shared.model.traces import (
    TraceContext,
    context_of_action,
    context_of_part,
    parse_traceparent,
)
from shared.traces.spans import Span, SpanKind, SpanRecorder

_FAILED = {Phase.FAILED, Phase.TIMED_OUT}
_MAX_ERROR = 500  # characters


class AttemptSpans:
    def __init__(self, spans: SpanRecorder) -> None:
        self._spans = spans

    def started(self, assignment: Assignment, accepted_at: datetime, now: datetime) -> None:
        """Record that the task runs; a resumed attempt is recorded again, with the same id."""
        context = self._context(assignment)
        if context is None:
            return
        self._spans.record(
            Span(
                name="start task",
                context=context_of_part(context, "start"),
                parent=context.span_id,
                started_at=accepted_at,
                ended_at=now,
                attributes=_attributes(assignment),
            )
        )

    def ended(self, active: ActiveAttempt, update: StatusUpdate, now: datetime) -> None:
        """Record the attempt; its failure is the error of the span."""
        assignment = active.assignment
        context = self._context(assignment)
        if context is None:
            return
        error = ""
        if update.phase in _FAILED:
            failure = update.failure
            error = "timed out" if failure is None else f"{failure.code}: {failure.message}"
        action = context_of_action(assignment.org, assignment.key, ratio=0)
        self._spans.record(
            Span(
                name="run attempt",
                context=context,
                parent=action.span_id,
                started_at=active.accepted_at,
                ended_at=now,
                kind=SpanKind.CONSUMER,
                attributes={**_attributes(assignment), "volary.phase": update.phase.name},
                error=error[:_MAX_ERROR],
            )
        )

    def _context(self, assignment: Assignment) -> TraceContext | None:
        return parse_traceparent(assignment.traceparent) if self._spans.is_on else None


def _attributes(assignment: Assignment) -> dict[str, str | int]:
    return {
        "volary.org": assignment.org,
        "volary.action": str(assignment.key),
        "volary.attempt": assignment.attempt.number,
        "volary.task_type": assignment.task_type,
    }
