"""Parses durations and timestamps; a message can hold values that Python's types cannot."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.core.errors import InvalidError

_MAX_DURATION = timedelta(days=3650)


def parse_duration(message: Duration, field: str) -> timedelta:
    """Parse a duration of at most ten years; unset is zero."""
    try:
        duration: timedelta = message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{field}: is not a duration") from error
    if not timedelta(0) <= duration <= _MAX_DURATION:
        raise InvalidError(f"{field}: must be between zero and {_MAX_DURATION.days} days")
    return duration


def parse_timestamp(message: Timestamp, field: str) -> datetime:
    try:
        at: datetime = message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{field}: is not a timestamp") from error
    return at
