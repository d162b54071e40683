"""Spans of the link: how long attempts waited to be leased, and how their ends were committed."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from controlplane.usecases.agent_sessions import HandOut
from shared.kit.clock import Clock
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName
from shared.model.reports import Acknowledgement, AckStatus, Report
from shared.model.traces import (
    context_of_action,
    context_of_attempt,
    context_of_part,
    parse_traceparent,
    render_traceparent,
)
from shared.traces.spans import Span, SpanRecorder


class LinkSpans:
    def __init__(self, spans: SpanRecorder, clock: Clock) -> None:
        self._spans = spans
        self._clock = clock

    def leased(self, cluster: ClusterName, found: HandOut) -> Sequence[Assignment]:
        """Record the waits of claimed attempts; return their assignments with trace contexts."""
        if not self._spans.is_on:
            return found.assignments
        now = self._clock.now()
        traced = []
        for assignment, waited in zip(found.assignments, found.waits, strict=True):
            action = context_of_action(assignment.org, assignment.key, ratio=self._spans.ratio)
            attempt = context_of_attempt(action, assignment.attempt.number)
            traced.append(replace(assignment, traceparent=render_traceparent(attempt)))
            if not action.sampled:
                continue
            self._spans.record(
                Span(
                    name="wait for a cluster",
                    context=context_of_part(attempt, "wait"),
                    parent=action.span_id,
                    started_at=now - waited,
                    ended_at=now,
                    attributes={
                        "volary.org": assignment.org,
                        "volary.action": str(assignment.key),
                        "volary.attempt": assignment.attempt.number,
                        "volary.cluster": cluster,
                    },
                )
            )
        return traced

    def committed(
        self,
        reports: Sequence[Report],
        acknowledged: Collection[Acknowledgement],
        begun: datetime,
    ) -> None:
        """Record the commits of reports of ends that were applied; the agent sent their contexts."""
        if not self._spans.is_on or not any(report.traceparent for report in reports):
            return
        applied = {each.attempt for each in acknowledged if each.status is AckStatus.APPLIED}
        now = self._clock.now()
        for report in reports:
            attempt = parse_traceparent(report.traceparent)
            if attempt is None or report.attempt not in applied:
                continue
            self._spans.record(
                Span(
                    name="commit report",
                    context=context_of_part(attempt, "commit"),
                    parent=attempt.span_id,
                    started_at=begun,
                    ended_at=now,
                    attributes={"volary.phase": report.phase.name},
                )
            )
