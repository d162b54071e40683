"""Parses durations and timestamps, and sets timestamps; a message can hold values that Python's types cannot."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.core.errors import InvalidError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
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


def to_microseconds(at: datetime) -> int:
    """Return the microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def set_microseconds(message: Timestamp, at: int) -> None:
    """Set a timestamp to the microseconds since 1970."""
    message.seconds, rest = divmod(at, 1_000_000)
    message.nanos = rest * 1000


def parse_timestamp(message: Timestamp, field: str) -> datetime:
    try:
        at: datetime = message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{field}: is not a timestamp") from error
    return at
