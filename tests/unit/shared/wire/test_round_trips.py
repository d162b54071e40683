"""We test that every value comes off the wire as it went on, through real bytes."""

from collections.abc import Sequence
from datetime import datetime

from hypothesis import given, strategies as st

from shared.idl.agent.v1 import assignment_pb2, call_pb2, report_pb2
from shared.kit.timestamps import to_us
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.logs import LogChunk, LogLine
from shared.model.reports import Acknowledgement, Report
from shared.wire.assignments import parse_assignment, render_assignment
from shared.wire.fields import parse_timestamp
from shared.wire.ids import (
    parse_attempt_id,
    parse_digest,
    parse_lease,
    render_attempt_id,
    render_lease,
)
from shared.wire.logs import parse_log_chunk, render_log_chunk
from shared.wire.reports import (
    parse_acknowledgement,
    parse_report,
    render_acknowledgement,
    render_report,
)
from tests.unit.shared.wire import values


@given(values.instants)
def test_timestamp_round_trip(at: datetime) -> None:
    assert parse_timestamp(to_us(at)) == at


@given(values.attempt_ids)
def test_attempt_id_round_trip(attempt: AttemptId) -> None:
    raw = render_attempt_id(attempt).SerializeToString()
    assert parse_attempt_id(assignment_pb2.AttemptId.FromString(raw)) == attempt


@given(values.attempt_ids, values.lease_ids)
def test_lease_round_trip(attempt: AttemptId, lease: LeaseId) -> None:
    raw = render_lease(attempt, lease).SerializeToString()
    assert parse_lease(assignment_pb2.Lease.FromString(raw)) == (attempt, lease)


@given(values.digests)
def test_digest_round_trip(digest: Digest) -> None:
    assert parse_digest(bytes(digest), "digest") == digest


@given(values.assignments)
def test_assignment_round_trip(assignment: Assignment) -> None:
    raw = render_assignment(assignment).SerializeToString()
    assert parse_assignment(assignment_pb2.Assignment.FromString(raw)) == assignment


@given(values.reports)
def test_report_round_trip(report: Report) -> None:
    raw = render_report(report).SerializeToString()
    assert parse_report(report_pb2.Report.FromString(raw)) == report


@given(values.acknowledgements)
def test_acknowledgement_round_trip(acknowledgement: Acknowledgement) -> None:
    raw = render_acknowledgement(acknowledgement).SerializeToString()
    assert parse_acknowledgement(report_pb2.Acknowledgement.FromString(raw)) == acknowledgement


@given(
    st.lists(values.log_lines, max_size=5),
    st.integers(0, 2**63),
    st.none() | values.log_lines,
)
def test_log_chunk_round_trip(lines: Sequence[LogLine], last: int, partial: LogLine | None) -> None:
    chunk = LogChunk(lines, last, partial)
    raw = render_log_chunk(chunk).SerializeToString()
    assert parse_log_chunk(call_pb2.LogChunk.FromString(raw)) == chunk
