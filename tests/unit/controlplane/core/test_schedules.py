"""Instants of schedules, compared with a walk over every minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from controlplane.core.errors import InvalidError
from controlplane.core.schedules import MOST_COUNTED, CronSchedule, parse_cron, parse_rate

MINUTE = timedelta(minutes=1)
# Around changes of the clock: forward and back, north and south, at midnight.
CHANGES = [
    ("Europe/London", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/London", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("UTC", datetime(2026, 3, 29, 1, tzinfo=UTC)),
]


def walk(
    minutes: set[int], hours: set[int] | None, zone: str, start: datetime, end: datetime
) -> list[datetime]:
    """Return the instants from ``start`` to ``end``, decided minute by minute of UTC."""
    found, before = [], start.astimezone(ZoneInfo(zone))
    instant = start
    while instant <= end:
        local = instant.astimezone(ZoneInfo(zone))
        wall = local.replace(tzinfo=None)
        matches = wall.minute in minutes and (hours is None or wall.hour in hours)
        if hours is not None:
            matches = matches and local.fold == 0
            missing = before.replace(tzinfo=None) + MINUTE
            while missing < wall:
                matches = matches or (missing.minute in minutes and missing.hour in hours)
                missing += MINUTE
        if matches:
            found.append(instant)
        before, instant = local, instant + MINUTE
    return found


@settings(deadline=None, max_examples=60)
@given(
    change=st.sampled_from(CHANGES),
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.none() | st.sets(st.integers(0, 4), min_size=1, max_size=3),
    offset=st.integers(-180, 120),
)
def test_a_cron_schedule_agrees_with_a_walk_over_every_minute(
    change: tuple[str, datetime], minutes: set[int], hours: set[int] | None, offset: int
) -> None:
    zone, moment = change
    start = moment + offset * MINUTE
    end = moment + timedelta(hours=6)
    hour = "*" if hours is None else ",".join(map(str, sorted(hours)))
    text = f"{','.join(map(str, sorted(minutes)))} {hour} * * *"
    schedule = parse_cron(text, zone, field="cron")
    found, after = [], start
    while (instant := schedule.find_next(after)) is not None and instant <= end:
        found.append(instant)
        after = instant
    expected = [
        i for i in walk(minutes, hours, zone, moment - timedelta(hours=8), end) if i > start
    ]
    assert found == expected
    assert schedule.count_until(start + MINUTE, end) == len(expected)


@pytest.mark.parametrize("text", ["*/15 1 * * *", "0,15,30,45 1 * * *"])
def test_a_fixed_hour_fires_only_in_the_first_pass_however_its_minutes_are_written(
    text: str,
) -> None:
    schedule = parse_cron(text, "Europe/London", field="cron")
    day = datetime(2026, 10, 24, 23, tzinfo=UTC)
    assert schedule.count_until(day, day + timedelta(hours=5)) == 4


@pytest.mark.parametrize(
    "text",
    ["61 * * * *", "* * * * * *", "* * *", "0 0 L * *", "0 0 15W * *", "0 0 * * 1#2", "@reboot",
     "@every 5m", "0 0 30 2 *", "*/0 * * * *", "5-1 * * * *", "CRON_TZ=UTC 0 0 * * *", "x" * 257],
)  # fmt: skip
def test_a_cron_expression_of_another_grammar_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(InvalidError, match=r"^cron: "):
        parse_cron(text, "Europe/London", field="cron")


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "a\0b"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidError, match="time zone"):
        parse_cron("@daily", zone, field="cron")


@pytest.mark.parametrize(
    ("text", "zone", "expression", "parsed"),
    [
        ("@Daily", "", "0 0 * * *", "UTC"),
        ("TZ=Europe/London 0 6 ? jan-mar 7", "", "0 6 * jan-mar 7", "Europe/London"),
        ("*/5 * * * sun", "UTC", "0-59/5 * * * sun", "UTC"),
    ],
)
def test_a_cron_expression_is_kept_in_five_fields(
    text: str, zone: str, expression: str, parsed: str
) -> None:
    assert parse_cron(text, zone, field="cron") == CronSchedule(expression, parsed)


def test_a_leap_day_on_a_sunday_is_found_across_forty_years() -> None:
    schedule = parse_cron("0 0 29 2 */7", "UTC", field="cron")
    assert schedule.find_next(datetime(2088, 3, 1, tzinfo=UTC)) == datetime(2128, 2, 29, tzinfo=UTC)


def test_a_schedule_ends_with_the_calendar_and_counts_a_thousand_years_within_a_bound() -> None:
    schedule = parse_cron("* * * * *", "UTC", field="cron")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert schedule.find_next(datetime(9999, 12, 31, tzinfo=UTC)) is None
    assert schedule.count_until(start, datetime(3026, 1, 1, tzinfo=UTC)) == MOST_COUNTED


def test_a_rate_keeps_to_the_grid_of_its_anchor() -> None:
    anchor = datetime(2026, 1, 1, 12, tzinfo=UTC)
    given_start = parse_rate(5 * MINUTE, anchor, anchor)
    unstarted = parse_rate(5 * MINUTE, None, anchor)
    assert given_start.find_next(anchor - timedelta(days=9)) == anchor
    assert unstarted.find_next(anchor - timedelta(days=9)) == anchor + 5 * MINUTE
    assert given_start.find_next(anchor + 4 * MINUTE) == anchor + 5 * MINUTE
    assert given_start.find_next(anchor + 5 * MINUTE) == anchor + 10 * MINUTE
    assert given_start.count_until(anchor, anchor + 11 * MINUTE) == 3
    assert given_start.count_until(anchor, anchor - MINUTE) == 0
    thousand = anchor.replace(year=3026)
    assert given_start.find_next(thousand) == thousand + 5 * MINUTE
    assert given_start.find_next(datetime(9999, 12, 31, tzinfo=UTC)) is None


@pytest.mark.parametrize("interval", [timedelta(0), -MINUTE, timedelta(days=3661)])
def test_a_rate_out_of_bounds_is_refused(interval: timedelta) -> None:
    with pytest.raises(InvalidError, match="one minute"):
        parse_rate(interval, None, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_schedule_asked_in_a_repeated_hour_never_answers_with_an_earlier_instant() -> None:
    schedule = parse_cron("0,30,59 1 * * *", "Europe/London", field="cron")
    tomorrow = datetime(2026, 10, 26, 1, tzinfo=UTC)
    second_pass = datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert {schedule.find_next(second_pass + n * MINUTE) for n in range(60)} == {tomorrow}
