"""Timestamps as microseconds since 1970, UTC (the link, files, columns) and as RFC 3339 text."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Return the microseconds since 1970; ``at`` has a time zone."""
    return (at - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """Return the timestamp; ValueError if it is outside the years 1 to 9999."""
    try:
        return _EPOCH + us * _MICROSECOND
    except OverflowError as error:
        raise ValueError(f"timestamp out of range: {us} microseconds since 1970") from error


def render_rfc3339(at: datetime, timespec: str = "auto") -> str:
    """Render a timestamp in UTC, as in 2026-01-31T12:00:00Z; ``timespec`` as of ``isoformat``."""
    return at.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Return the timestamp in UTC; digits below microseconds are cut. ValueError without a zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"the timestamp {text!r} has no time zone")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"timestamp out of range: {text}") from error
