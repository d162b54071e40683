"""Tests of the spans of attempts: their ids come with the assignment, their errors from failures."""

from dataclasses import replace
from datetime import timedelta

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate, next_report
from dataplane.agent.loops.attempt_spans import AttemptSpans
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from shared.model.traces import (
    context_of_action,
    context_of_attempt,
    parse_traceparent,
    render_traceparent,
)
from tests.factories import NOW
from tests.fakes.spans import KeptSpans
from tests.unit.agent.assignments import make_assignment

PLAIN = make_assignment()
ACTION = context_of_action(PLAIN.org, PLAIN.key, ratio=1)
ATTEMPT = context_of_attempt(ACTION, PLAIN.attempt.number)
TRACED = replace(PLAIN, traceparent=render_traceparent(ATTEMPT))
LATER = NOW + timedelta(seconds=5)


def test_span_of_an_attempt_has_the_context_of_its_assignment() -> None:
    kept = KeptSpans(0)
    active = ActiveAttempt(assignment=TRACED, accepted_at=NOW)
    AttemptSpans(kept).started(TRACED, NOW, LATER)
    AttemptSpans(kept).ended(active, StatusUpdate(phase=Phase.SUCCEEDED), LATER)
    start, run = kept.spans
    assert (run.context, run.parent, run.error) == (ATTEMPT, ACTION.span_id, "")
    assert (start.parent, start.context.trace_id) == (ATTEMPT.span_id, ATTEMPT.trace_id)
    assert (run.started_at, run.ended_at) == (NOW, LATER)


def test_failure_of_an_attempt_is_the_error_of_its_span() -> None:
    kept = KeptSpans(0)
    active = ActiveAttempt(assignment=TRACED, accepted_at=NOW)
    failure = Failure(code="OOMKilled", kind=FailureKind.USER, message="x" * 10_000)
    AttemptSpans(kept).ended(active, StatusUpdate(phase=Phase.FAILED, failure=failure), LATER)
    AttemptSpans(kept).ended(active, StatusUpdate(phase=Phase.TIMED_OUT), LATER)
    failed, timed_out = kept.spans
    assert failed.error.startswith("OOMKilled: xxx")
    assert len(failed.error) == 500
    assert timed_out.error == "timed out"


def test_assignment_of_a_control_plane_without_traces_has_no_spans() -> None:
    kept = KeptSpans(1)
    active = ActiveAttempt(assignment=PLAIN, accepted_at=NOW)
    AttemptSpans(kept).started(PLAIN, NOW, LATER)
    AttemptSpans(kept).ended(active, StatusUpdate(phase=Phase.SUCCEEDED), LATER)
    assert kept.spans == []


def test_report_of_the_end_carries_the_context_back_and_no_other_does() -> None:
    active = ActiveAttempt(assignment=TRACED, accepted_at=NOW)
    active, running = next_report(active, StatusUpdate(phase=Phase.RUNNING), NOW)
    _, ended = next_report(active, StatusUpdate(phase=Phase.SUCCEEDED), LATER)
    assert running is not None
    assert ended is not None
    assert running.traceparent == ""
    assert parse_traceparent(ended.traceparent) == ATTEMPT
