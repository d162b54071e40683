"""Tests of timestamps as microseconds and as RFC 3339 text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.kit.timestamps import from_us, parse_rfc3339, render_rfc3339, to_us

AT = datetime(2026, 1, 31, 12, 0, 0, 250_001, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("at", "us"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (AT, 1_769_860_800_250_001),
        (AT.astimezone(TOKYO), 1_769_860_800_250_001),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime.max.replace(tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_timestamp_round_trips_through_microseconds(at: datetime, us: int) -> None:
    assert to_us(at) == us
    assert from_us(us) == at


@pytest.mark.parametrize("us", [2**63, -(2**63), 2**200])
def test_timestamp_out_of_range_is_value_error(us: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        from_us(us)


@pytest.mark.parametrize(
    ("at", "timespec", "text"),
    [
        (AT, "auto", "2026-01-31T12:00:00.250001Z"),
        (AT, "seconds", "2026-01-31T12:00:00Z"),
        (AT.replace(microsecond=0), "auto", "2026-01-31T12:00:00Z"),
        (AT.replace(microsecond=0), "microseconds", "2026-01-31T12:00:00.000000Z"),
        (AT.astimezone(TOKYO), "seconds", "2026-01-31T12:00:00Z"),
    ],
)
def test_timestamp_is_rendered_in_utc(at: datetime, timespec: str, text: str) -> None:
    assert render_rfc3339(at, timespec) == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00.250001Z",
        "2026-01-31T12:00:00.250001999Z",
        "2026-01-31T21:00:00.250001+09:00",
    ],
)
def test_timestamp_is_parsed_with_zone_and_nanoseconds(text: str) -> None:
    assert parse_rfc3339(text) == AT


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "isoformat"),
        ("now", "isoformat"),
        ("2026-02-31T12:00:00Z", "day"),
        ("2026-01-31T12:00:00", "no time zone"),
        ("0001-01-01T00:00:00+14:00", "out of range"),
    ],
)
def test_invalid_timestamp_is_value_error(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        parse_rfc3339(text)
