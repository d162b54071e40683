"""Rules of usage: which months, days and dimensions may be asked for."""

from datetime import date, timedelta

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.usage import KEPT, Dimension, parse_days, parse_dimensions, parse_month

TODAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("month", "first", "last"),
    [
        ("", date(2026, 11, 1), date(2026, 11, 30)),
        ("2026-11", date(2026, 11, 1), date(2026, 11, 30)),
        ("2025-12", date(2025, 12, 1), date(2025, 12, 31)),
        ("2026-02", date(2026, 2, 1), date(2026, 2, 28)),
    ],
)
def test_month_is_parsed_to_its_first_and_last_day(month: str, first: date, last: date) -> None:
    assert parse_month(month, TODAY) == (first, last)


@pytest.mark.parametrize(
    ("month", "because"),
    [
        ("2026-12", "has not begun"),
        ("2025-09", "the oldest day is 2025-10-25"),
        ("2026-13", "not a month"),
        ("0000-01", "not a month"),
        ("november", "not a month"),
    ],
)
def test_month_without_usage_is_refused(month: str, because: str) -> None:
    with pytest.raises(InvalidError, match=f"^month: .*{because}"):
        parse_month(month, TODAY)


def test_month_that_is_kept_in_part_is_taken() -> None:
    assert parse_month("2025-10", TODAY)[0] < TODAY - KEPT


def test_days_are_parsed() -> None:
    assert parse_days("2026-11-28", "2026-12-01", TODAY) == (
        TODAY - timedelta(days=1),
        date(2026, 12, 1),
    )


@pytest.mark.parametrize(
    ("since", "until", "because"),
    [
        ("", "2026-11-01", "since: is missing"),
        ("2026-11-01", "", "until: is missing"),
        ("2026-02-30", "2026-11-01", "since: '2026-02-30' is not a day"),
        ("20261101", "2026-11-01", "since: '20261101' is not a day"),
        ("2026-11-02", "2026-11-01", "until: 2026-11-01 is before since"),
        ("2026-11-30", "2026-11-30", "since: 2026-11-30 is in the future"),
        ("2020-01-01", "2020-01-02", "until: usage is kept for 400 days"),
    ],
)
def test_days_without_usage_are_refused(since: str, until: str, because: str) -> None:
    with pytest.raises(InvalidError, match=f"^{because}"):
        parse_days(since, until, TODAY)


def test_dimensions_are_parsed_by_name() -> None:
    assert parse_dimensions(["task", "day", "task"]) == {Dimension.DAY, Dimension.TASK}
    with pytest.raises(InvalidError, match="'owner' is not one of day, project"):
        parse_dimensions(["owner"])
