"""Tests of the delays between retries."""

from datetime import timedelta

import pytest
import tenacity

from shared.kit.backoff import Backoff, jittered

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.5), (2, 1), (3, 2), (5, 8), (6, 15), (7, 15), (10**9, 15)]
)
def test_backoff_doubles_up_to_its_cap(failures: int, seconds: float) -> None:
    backoff = Backoff(first=SECOND / 2, at_most=15 * SECOND, jitter=0)

    assert backoff.delay(failures).total_seconds() == seconds


def test_backoff_grows_by_its_factor() -> None:
    backoff = Backoff(first=SECOND, at_most=30 * SECOND, factor=1.5, jitter=0)

    assert [backoff.delay(n) / SECOND for n in (1, 2, 3)] == [1, 1.5, 2.25]


@pytest.mark.parametrize("jitter", [0.2, 0.5, 1.0])
def test_backoff_jitter_is_share_of_delay(jitter: float) -> None:
    backoff = Backoff(first=SECOND, at_most=4 * SECOND, jitter=jitter)
    delays = {backoff.delay(9) for _ in range(200)}

    assert len(delays) > 100
    assert all(4 * SECOND * (1 - jitter) <= delay <= 4 * SECOND for delay in delays)


def test_jittered_duration_without_jitter_is_unchanged() -> None:
    assert jittered(7 * SECOND, 0) == 7 * SECOND


def test_backoff_is_wait_of_tenacity_loop() -> None:
    slept: list[float] = []
    backoff = Backoff(first=SECOND, at_most=3 * SECOND, jitter=0)
    trying = tenacity.Retrying(
        wait=backoff.wait, stop=tenacity.stop_after_attempt(5), sleep=slept.append
    )
    with pytest.raises(tenacity.RetryError):
        trying(lambda: 1 / 0)

    assert slept == [1, 2, 3, 3]
