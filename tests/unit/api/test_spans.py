"""Tests of the spans of calls: what is recorded, and where in which trace."""

from dataclasses import replace

import pytest
from flyteidl2.actions.actions_service_pb2 import Action, EnqueueRequest, EnqueueResponse
from flyteidl2.common.identifier_pb2 import ActionIdentifier, RunIdentifier
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, ListRunsRequest

from controlplane.api.spans import CallSpans, EndedCall
from shared.model.ids import OrgName
from shared.traces.spans import Span, SpanKind
from tests.fakes.clock import FakeClock
from tests.fakes.spans import KeptSpans

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
RUN = RunIdentifier(org="acme", project="p", domain="d", name="r1")
CALL = EndedCall(
    rpc="flyteidl2.workflow.RunService/GetRunDetails",
    org=OrgName("acme"),
    code="ok",
    message="",
    traceparent="",
    request=GetRunDetailsRequest(run_id=RUN),
    response=None,
    seconds=0.25,
)


def spans_of(call: EndedCall, *, ratio: float = 1) -> list[Span]:
    kept = KeptSpans(ratio)
    CallSpans(kept, FakeClock()).record(call)
    return kept.spans


def test_call_of_a_sampled_run_is_recorded_with_its_duration() -> None:
    [span] = spans_of(CALL)
    assert (span.name, span.kind) == (CALL.rpc, SpanKind.SERVER)
    assert (span.ended_at - span.started_at).total_seconds() == 0.25
    assert span.attributes["volary.action"] == "p/d/r1/a0"
    assert span.parent
    assert not span.error


@pytest.mark.parametrize("code", ["ok", "not_found", "resource_exhausted", "canceled"])
def test_call_of_a_run_that_is_not_sampled_is_not_recorded(code: str) -> None:
    assert spans_of(replace(CALL, code=code, message="x"), ratio=0) == []


@pytest.mark.parametrize("code", ["internal", "unavailable", "unknown", "deadline_exceeded"])
def test_call_that_fails_by_our_fault_is_recorded_always(code: str) -> None:
    [span] = spans_of(replace(CALL, code=code, message="the database broke"), ratio=0)
    assert (span.error, span.context.sampled) == ("the database broke", False)


def test_refused_call_is_recorded_without_an_error() -> None:
    [span] = spans_of(replace(CALL, code="not_found", message="no run r1"))
    assert (span.error, span.attributes["rpc.response.status_code"]) == ("", "not_found")


def test_caller_decides_whether_its_own_trace_is_recorded() -> None:
    [span] = spans_of(replace(CALL, traceparent=f"{SENT}-01"), ratio=0)
    assert (span.context.trace_id, span.parent) == (SENT[3:35], SENT[36:])
    assert spans_of(replace(CALL, traceparent=f"{SENT}-00"), ratio=1) == []


def test_invalid_traceparent_is_ignored() -> None:
    [span] = spans_of(replace(CALL, traceparent="00-zz"))
    assert span.attributes["volary.action"] == "p/d/r1/a0"
    assert span.context.trace_id != SENT[3:35]


def test_call_about_no_run_has_a_trace_of_its_own() -> None:
    call = replace(CALL, request=ListRunsRequest())
    [one], [other] = spans_of(call), spans_of(call)
    assert one.parent == other.parent == ""
    assert one.context.trace_id != other.context.trace_id


def test_refused_enqueue_records_no_action() -> None:
    action = ActionIdentifier(run=RUN, name="a1")
    request = EnqueueRequest(action=Action(action_id=action, parent_action_name="a0"))
    call = replace(CALL, rpc="flyteidl2.actions.ActionsService/Enqueue", request=request)
    assert len(spans_of(replace(call, code="invalid_argument", message="bad"))) == 1
    assert len(spans_of(replace(call, response=EnqueueResponse()))) == 2
