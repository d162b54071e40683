"""Tests which samples of the database's clock replace the known one."""

from datetime import timedelta

import pytest

from controlplane.store.clock import FINE, ClockSample, is_better
from tests.factories import NOW


@pytest.mark.parametrize(
    ("doubt", "moved", "new_warning", "expected"),
    [
        (5, 6, 2, False),  # within both error bounds together, not within the second alone
        (5, -6, 2, False),
        (2, 6, 5, False),
        (5, 8, 2, True),
        (5, -8, 2, True),
        (1_000, 500, 1, True),  # the first sample took two seconds: the better one replaces it
        (1_000, -500, 1, True),
        (1_000, FINE.total_seconds() * 1_000, 1, False),
    ],
)
def test_clock_sample_replaces_the_known_one_beyond_error_bounds_or_if_better(
    doubt: float, moved: float, new_warning: float, *, expected: bool
) -> None:
    known = ClockSample(NOW, timedelta(milliseconds=doubt))
    found = ClockSample(NOW + timedelta(milliseconds=moved), timedelta(milliseconds=new_warning))
    assert is_better(known, found) is expected
