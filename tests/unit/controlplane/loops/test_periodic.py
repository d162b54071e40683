"""Periodic loops: failed passes are logged, counted and retried."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from controlplane.core.errors import UnavailableError
from controlplane.loops.periodic import FAILED_PASSES, LONGEST_BACKOFF, isolated, run_periodically
from tests.factories import NOW

SECOND = timedelta(seconds=1)


class Sleeps:
    """A clock that records sleeps, and stops the loop after a number of passes."""

    def __init__(self, at_most: int) -> None:
        self.slept: list[timedelta] = []
        self._at_most = at_most

    def now(self) -> datetime:
        return NOW

    async def sleep(self, delay: timedelta) -> None:
        self.slept.append(delay)
        if len(self.slept) == self._at_most:
            raise asyncio.CancelledError


async def run(name: str, outcomes: Iterable[Exception | None]) -> list[timedelta]:
    """Run a loop whose passes have these outcomes; return the pauses after them."""
    remaining = list(outcomes)
    clock = Sleeps(len(remaining))

    async def run_once() -> None:
        outcome = remaining.pop(0)
        if outcome is not None:
            raise outcome

    with pytest.raises(asyncio.CancelledError):
        await run_periodically(name, run_once, every=SECOND, clock=clock)
    assert not remaining
    return clock.slept


def failures(loop: str) -> float:
    registry = CollectorRegistry()
    registry.register(FAILED_PASSES)
    found = registry.get_sample_value("volary_loop_failures_total", {"loop": loop})
    return found or 0.0


async def test_loop_logs_counts_and_retries_a_failed_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = ValueError("99 is not a valid Phase")
    with caplog.at_level(logging.ERROR):
        await run("broken", [broken, None])
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is broken
    assert failures("broken") == 1


async def test_loop_backoff_doubles_up_to_a_minute_and_resets_after_success() -> None:
    failed = [ValueError("no")] * 8
    slept = await run("backoff", [*failed, None, ValueError("no")])
    assert slept == [*(SECOND * n for n in (2, 4, 8, 16, 32, 60, 60, 60)), SECOND, 2 * SECOND]
    assert max(slept) == LONGEST_BACKOFF


async def test_loop_retries_unavailable_database_at_its_normal_interval() -> None:
    assert await run("away", [UnavailableError("try again")] * 3) == [SECOND] * 3
    assert failures("away") == 3


async def test_loop_ends_when_cancelled() -> None:
    async def run_once() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_periodically("cancelled", run_once, every=SECOND, clock=Sleeps(1))


@pytest.mark.parametrize("error", [ValueError("no"), UnavailableError("try again")])
def test_loop_failure_of_one_org_is_counted_and_skips_no_other_org(error: Exception) -> None:
    done = []
    before = failures("isolated")
    for org in ("a", "b", "c"):
        with isolated("isolated", org=org):
            if org == "b":
                raise error
            done.append(org)
    assert done == ["a", "c"]
    assert failures("isolated") == before + 1
