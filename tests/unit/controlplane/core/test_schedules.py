"""Instants of schedules, compared with a walk over every minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from controlplane.core.errors import InvalidError
from controlplane.core.schedules import (
    MOST_COUNTED,
    CronSchedule,
    find_last,
    list_from,
    parse_cron,
    parse_rate,
    render_local,
)

MINUTE = timedelta(minutes=1)
# Around changes of the clock: forward and back, north and south, at midnight.
CHANGES = [
    ("Europe/London", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/London", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),  # by half an hour
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
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


@pytest.mark.parametrize(
    ("text", "local"),
    [
        # 02:00 to 02:30 does not exist on 4 October, and 01:30 to 02:00 comes twice on 5 April.
        ("15 2 4 10 *", "2026-10-04T02:30:00+11:00"),
        ("45 1 5 4 *", "2026-04-05T01:45:00+11:00"),
    ],
)
def test_clock_change_by_half_an_hour_fires_once(text: str, local: str) -> None:
    schedule = parse_cron(text, "Australia/Lord_Howe", field="cron")
    start = datetime(2026, 1, 1, tzinfo=UTC)

    instant = schedule.find_next(start)

    assert instant is not None
    assert render_local(schedule, instant) == local
    assert schedule.count_until(instant, datetime(2026, 12, 31, tzinfo=UTC)) == 1


@pytest.mark.parametrize(
    ("text", "after", "local"),
    [
        ("45 * * * *", datetime(2026, 10, 3, 15, 20, tzinfo=UTC), "2026-10-04T02:45:00+11:00"),
        ("30 * * * *", datetime(2026, 4, 4, 14, 59, tzinfo=UTC), "2026-04-05T01:30:00+10:30"),
        ("10 * * * *", datetime(2026, 10, 3, 15, 20, tzinfo=UTC), "2026-10-04T03:10:00+11:00"),
    ],
)
def test_schedule_of_every_hour_passes_no_minute_around_a_change_by_half_an_hour(
    text: str, after: datetime, local: str
) -> None:
    schedule = parse_cron(text, "Australia/Lord_Howe", field="cron")

    instant = schedule.find_next(after)

    assert instant is not None
    assert render_local(schedule, instant) == local


def test_step_of_hours_fires_at_each_wall_time_around_a_change_by_half_an_hour() -> None:
    schedule = parse_cron("0 */2 * * *", "Australia/Lord_Howe", field="cron")
    first = schedule.find_next(datetime(2026, 4, 4, 12, 30, tzinfo=UTC))
    assert first is not None

    found = [render_local(schedule, each) for each in list_from(schedule, first, 3)]

    assert found == [
        "2026-04-05T00:00:00+11:00",
        "2026-04-05T02:00:00+10:30",
        "2026-04-05T04:00:00+10:30",
    ]


@settings(deadline=None, max_examples=60)
@given(
    text=st.sampled_from(["* * * * *", "*/7 3 * * *", "0 0 1 * *", "*/5 * 1 1 *"]),
    first=st.integers(0, 2_000_000),
    length=st.integers(0, 50_000),
)
def test_last_instant_up_to_a_time_has_none_between(text: str, first: int, length: int) -> None:
    schedule = parse_cron(text, "Europe/London", field="cron")
    begin = schedule.find_next(datetime(2024, 1, 1, tzinfo=UTC) + first * MINUTE)
    assert begin is not None
    until = begin + length * MINUTE

    last = find_last(schedule, begin, until)
    following = schedule.find_next(last)

    assert begin <= last <= until
    assert schedule.count_until(last, last) == 1
    assert following is None or following > until


def test_last_instant_before_the_first_is_the_first() -> None:
    schedule = parse_rate(MINUTE, None, datetime(2026, 1, 1, tzinfo=UTC))
    first = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)

    assert find_last(schedule, first, first - 5 * MINUTE) == first


def test_following_instants_are_listed_to_the_end_of_the_calendar() -> None:
    rate = parse_rate(timedelta(days=1), None, datetime(2026, 1, 1, tzinfo=UTC))
    end = datetime(9899, 12, 31, tzinfo=UTC)

    assert list_from(rate, end, 5) == [end, end + timedelta(days=1)]
    assert list_from(rate, end, 1) == [end]
    assert render_local(rate, end) == "9899-12-31T00:00:00+00:00"
