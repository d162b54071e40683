"""Converts timestamps to and from the wire: microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

from shared.wire.errors import BadMessageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """Return the timestamp; BadMessageError if it is outside the range of ``datetime``."""
    try:
        return _EPOCH + us * _MICROSECOND
    except OverflowError as error:
        raise BadMessageError(f"timestamp out of range: {us} microseconds since 1970") from error
