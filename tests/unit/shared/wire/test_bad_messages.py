"""We test that a message which breaks its contract is refused by the name of its field."""

import functools
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from shared.idl.agent.v1 import assignment_pb2, call_pb2, report_pb2
from shared.model.assignments import Assignment
from shared.model.logs import Originator
from shared.model.phases import Phase
from shared.model.reports import (
    MAX_EVENT_COUNT,
    MAX_MESSAGE_BYTES,
    EventType,
    FailureKind,
    Report,
)
from shared.wire.assignments import parse_assignment, render_assignment
from shared.wire.fields import MAX_URI_BYTES, BadMessageError, parse_timestamp, parse_words
from shared.wire.ids import (
    parse_attempt_id,
    parse_digest,
    parse_lease,
    render_attempt_id,
    render_lease,
)
from shared.wire.logs import parse_log_chunk
from shared.wire.reports import (
    MAX_EVENTS,
    parse_acknowledgement,
    parse_report,
    render_report,
)
from tests.unit.shared.wire.values import A_LEASE, AN_ATTEMPT, assignments

BEYOND_ANY_CALENDAR = 2**62


def make_report() -> report_pb2.Report:
    return render_report(
        Report(
            attempt=AN_ATTEMPT, lease=A_LEASE, version=1, phase=Phase.FAILED, at=parse_timestamp(0)
        )
    )


BAD_FIELDS: Sequence[tuple[str, str, object]] = [
    # what is named, where it is, what it holds
    ("attempt.number", "attempt.number", 0),
    ("attempt.number", "attempt.number", 2**31),
    ("attempt.action_id", "attempt.action_id", b"short"),
    ("lease_id", "lease_id", b""),
    ("report.version", "version", 0),
    ("report.version", "version", 2**32 - 1),
    ("report.phase", "phase", 0),
    ("report.phase", "phase", 99),
    ("report.phase", "phase", Phase.PAUSED.value),
    ("report.phase", "phase", Phase.RECOVERED.value),
    ("microseconds", "at_us", BEYOND_ANY_CALENDAR),
    ("microseconds", "at_us", -BEYOND_ANY_CALENDAR),
    ("failure.kind", "failure.kind", 0),
    ("failure.kind", "failure.kind", 17),
    ("failure.full_uri", "failure.full_uri", "u" * 3000),
    ("report.output_uri", "output_uri", "u" * 3000),
    ("report.report_uri", "report_uri", "file:///a\0b"),
    ("report.log_uri", "log_uri", "file:///a\0b"),
]


@pytest.mark.parametrize(
    ("named", "place", "value"),
    BAD_FIELDS,
    ids=[f"{place}={str(value)[:30]!r}" for _, place, value in BAD_FIELDS],
)
def test_report_with_invalid_field_is_rejected(named: str, place: str, value: object) -> None:
    report = make_report()
    report.failure.kind = FailureKind.USER
    *path, field = place.split(".")
    setattr(functools.reduce(getattr, path, report), field, value)
    with pytest.raises(BadMessageError, match=named):
        parse_report(report)


def test_event_timestamp_out_of_range_is_refused() -> None:
    report = make_report()
    report.events.add(at_us=BEYOND_ANY_CALENDAR, reason="Pulled")
    with pytest.raises(BadMessageError, match="timestamp out of range"):
        parse_report(report)


@given(assignments, st.sampled_from(["org", "project", "domain", "run", "action", "run_base"]))
def test_assignment_without_name_is_rejected(assignment: Assignment, field: str) -> None:
    message = render_assignment(assignment)
    setattr(message, field, "")
    with pytest.raises(BadMessageError, match=field):
        parse_assignment(message)


def test_digest_of_wrong_length_is_rejected() -> None:
    with pytest.raises(BadMessageError, match="spec has 31 bytes"):
        parse_digest(b"d" * 31, "spec")


def test_lease_without_attempt_is_rejected() -> None:
    message = render_lease(AN_ATTEMPT, A_LEASE)
    message.ClearField("attempt")
    with pytest.raises(BadMessageError, match=r"attempt\.number"):
        parse_lease(message)


def test_attempt_id_with_long_uuid_is_rejected() -> None:
    with pytest.raises(BadMessageError, match="17 bytes"):
        parse_attempt_id(assignment_pb2.AttemptId(action_id=b"u" * 17, number=1))


@pytest.mark.parametrize("status", [0, 9])
def test_unknown_ack_status_is_rejected(status: int) -> None:
    message = report_pb2.Acknowledgement(
        attempt=render_attempt_id(AN_ATTEMPT), version=1, verdict=status
    )
    with pytest.raises(BadMessageError, match=r"acknowledgement\.verdict"):
        parse_acknowledgement(message)


def test_log_line_of_unknown_originator_is_system() -> None:
    [line] = parse_log_chunk(call_pb2.LogChunk(lines=[call_pb2.LogLine(originator=7)])).lines
    assert line.originator is Originator.SYSTEM


def test_report_text_is_truncated_and_cleaned() -> None:
    message = make_report()
    message.message = "ä" * MAX_MESSAGE_BYTES
    message.reason = "a\0reason"
    message.failure.kind = FailureKind.USER
    message.failure.message = "\0" * MAX_MESSAGE_BYTES
    for _ in range(MAX_EVENTS + 5):
        message.events.add(reason="Pulled\0", message="x" * 100_000)
    report = parse_report(message)

    assert report.reason == "a\N{REPLACEMENT CHARACTER}reason"
    assert report.message == "ä" * (MAX_MESSAGE_BYTES // 2)
    assert report.failure is not None
    assert len(report.failure.message.encode()) <= MAX_MESSAGE_BYTES
    assert len(report.events) == MAX_EVENTS
    assert all("\0" not in event.reason for event in report.events)
    assert max(len(event.message) for event in report.events) < 10_000


def test_event_of_an_earlier_or_a_later_release_occurred_at_least_once() -> None:
    message = make_report()
    message.events.add(reason="Pulled")
    message.events.add(reason="Pulled", type=9, count=2**32 - 1)

    earlier, later = parse_report(message).events

    assert (earlier.type, earlier.count, earlier.source) == (EventType.UNKNOWN, 1, "")
    assert (later.type, later.count) == (EventType.UNKNOWN, MAX_EVENT_COUNT)


def test_uri_over_the_limit_is_rejected() -> None:
    message = make_report()
    message.output_uri = "u" * MAX_URI_BYTES
    assert parse_report(message).output_uri == message.output_uri


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 50))
def test_text_is_truncated_at_the_limit(value: str, most: int) -> None:
    kept = parse_words(value, most)
    mended = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert mended.startswith(kept)
    assert most - 4 < len(kept.encode()) <= most or kept == mended
