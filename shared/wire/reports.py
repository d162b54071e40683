"""Converts reports and acknowledgements to and from protobuf."""

from shared.idl.agent.v1 import report_pb2
from shared.kit.timestamps import to_us
from shared.model.phases import Phase
from shared.model.reports import (
    MAX_EVENT_COUNT,
    MAX_MESSAGE_BYTES,
    Acknowledgement,
    AckStatus,
    ClusterEvent,
    EventType,
    Failure,
    FailureKind,
    LogLink,
    Report,
)
from shared.wire.fields import (
    MAX_CODE_BYTES,
    BadMessageError,
    parse_timestamp,
    parse_traceparent_field,
    parse_uri,
    parse_words,
)
from shared.wire.ids import parse_attempt_id, parse_lease_id, render_attempt_id

MAX_EVENTS = 100
"""Per report; the first ones are kept, since they show how the attempt started."""
MAX_EVENT_BYTES = 4 * 1024
MAX_LOG_LINKS = 20

_MAX_VERSION = 2**31 - 1
_FOR_BROWSERS = ("http://", "https://")
_NOT_OF_ATTEMPTS = frozenset({Phase.UNKNOWN, Phase.PAUSED, Phase.RECOVERED})


def parse_report(message: report_pb2.Report) -> Report:
    if not 1 <= message.version <= _MAX_VERSION:
        raise BadMessageError(f"report.version is {message.version}; versions count from 1")
    return Report(
        attempt=parse_attempt_id(message.attempt),
        lease=parse_lease_id(message.lease_id),
        version=message.version,
        phase=_parse_phase(message.phase),
        at=parse_timestamp(message.at_us),
        reason=parse_words(message.reason, MAX_CODE_BYTES),
        message=parse_words(message.message, MAX_MESSAGE_BYTES),
        failure=_parse_failure(message.failure) if message.HasField("failure") else None,
        output_uri=parse_uri(message.output_uri, "report.output_uri"),
        report_uri=parse_uri(message.report_uri, "report.report_uri"),
        log_uri=parse_uri(message.log_uri, "report.log_uri"),
        events=[
            ClusterEvent(
                at=parse_timestamp(event.at_us),
                reason=parse_words(event.reason, MAX_CODE_BYTES),
                message=parse_words(event.message, MAX_EVENT_BYTES),
                type=_parse_event_type(event.type),
                count=min(event.count, MAX_EVENT_COUNT) or 1,
                source=parse_words(event.source, MAX_CODE_BYTES),
            )
            for event in message.events[:MAX_EVENTS]
        ],
        log_links=[
            LogLink(parse_words(link.name, MAX_CODE_BYTES), parse_uri(link.uri, "log_link.uri"))
            for link in message.log_links[:MAX_LOG_LINKS]
            if link.uri.startswith(_FOR_BROWSERS)
        ],
        traceparent=parse_traceparent_field(message.traceparent),
    )


def render_report(report: Report) -> report_pb2.Report:
    return report_pb2.Report(
        attempt=render_attempt_id(report.attempt),
        lease_id=report.lease.bytes,
        version=report.version,
        phase=report.phase,
        at_us=to_us(report.at),
        reason=report.reason,
        message=report.message,
        failure=None if report.failure is None else _render_failure(report.failure),
        output_uri=report.output_uri,
        report_uri=report.report_uri,
        log_uri=report.log_uri,
        events=[
            report_pb2.ClusterEvent(
                at_us=to_us(event.at),
                reason=event.reason,
                message=event.message,
                type=event.type,
                count=event.count,
                source=event.source,
            )
            for event in report.events
        ],
        log_links=[report_pb2.LogLink(name=link.name, uri=link.uri) for link in report.log_links],
        traceparent=report.traceparent,
    )


def parse_acknowledgement(message: report_pb2.Acknowledgement) -> Acknowledgement:
    try:
        status = AckStatus(message.verdict)
    except ValueError as error:
        raise BadMessageError(
            f"acknowledgement.verdict is {message.verdict}, which this release does not know"
        ) from error
    return Acknowledgement(parse_attempt_id(message.attempt), message.version, status)


def render_acknowledgement(acknowledgement: Acknowledgement) -> report_pb2.Acknowledgement:
    return report_pb2.Acknowledgement(
        attempt=render_attempt_id(acknowledgement.attempt),
        version=acknowledgement.version,
        verdict=acknowledgement.status,
    )


def _parse_event_type(number: int) -> EventType:
    try:
        return EventType(number)
    except ValueError:
        return EventType.UNKNOWN  # of a later release


def _parse_phase(number: int) -> Phase:
    try:
        phase = Phase(number)
    except ValueError as error:
        raise BadMessageError(
            f"report.phase is {number}, which this release does not know"
        ) from error
    if phase in _NOT_OF_ATTEMPTS:
        raise BadMessageError(f"report.phase is {phase.name}, which no attempt can be in")
    return phase


def _parse_failure(message: report_pb2.Failure) -> Failure:
    try:
        kind = FailureKind(message.kind)
    except ValueError as error:
        raise BadMessageError(
            f"failure.kind is {message.kind}, which this release does not know"
        ) from error
    if kind is FailureKind.UNKNOWN:
        raise BadMessageError("failure.kind is not set; set it to user, system or preemption")
    return Failure(
        code=parse_words(message.code, MAX_CODE_BYTES),
        kind=kind,
        message=parse_words(message.message, MAX_MESSAGE_BYTES),
        recoverable=message.recoverable,
        full_uri=parse_uri(message.full_uri, "failure.full_uri"),
    )


def _render_failure(failure: Failure) -> report_pb2.Failure:
    return report_pb2.Failure(
        code=failure.code,
        kind=failure.kind,
        message=failure.message,
        recoverable=failure.recoverable,
        full_uri=failure.full_uri,
    )
