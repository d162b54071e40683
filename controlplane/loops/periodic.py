"""Runs a background pass periodically; a failed pass is logged, counted and retried."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

from controlplane.core.errors import UnavailableError
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock

log = logging.getLogger(__name__)

FAILED_PASSES = Counter(
    "volary_loop_failures",
    "Passes of a background loop that failed, and were run again later.",
    ["loop"],
    registry=None,  # ``main`` registers it
)

PASSES = Histogram(
    "volary_loop_pass_seconds",
    "How long passes of a background loop took, failed ones as well.",
    ["loop"],
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600),
    registry=None,
)
LAST_PASS = Gauge(
    "volary_loop_last_success_timestamp_seconds",
    "When a pass of a background loop last succeeded on this replica.",
    ["loop"],
    registry=None,
)
INTERVAL = Gauge(
    "volary_loop_interval_seconds",
    "How long a background loop pauses between passes; some are woken earlier.",
    ["loop"],
    registry=None,
)

LONGEST_BACKOFF = timedelta(minutes=1)


async def run_periodically(
    name: str,
    run_once: Callable[[], Awaitable[object]],
    *,
    every: timedelta,
    clock: Clock,
    pause: Callable[[timedelta], Awaitable[object]] | None = None,
) -> None:
    """
    Run a pass every ``every``, until cancelled. Passes do not retry: the next pass is the retry.

    No failure ends the loop: it runs on every replica, for all tenants, and what one pass
    cannot read or write the next one often can. While the database is unavailable the interval
    stays the same; after any other failure, which is a bug or bad data, the interval doubles
    with each consecutive one, up to ``LONGEST_BACKOFF``.

    ``pause`` waits for the next pass in place of the clock, at most as long as its argument.
    """
    backoff = Backoff(first=every, at_most=max(every, LONGEST_BACKOFF), jitter=0)
    failed = 0
    INTERVAL.labels(name).set(every.total_seconds())
    seconds, last_success = PASSES.labels(name), LAST_PASS.labels(name)
    while True:
        begun = perf_counter()
        try:
            result = await run_once()
            failed = 0
            last_success.set(clock.now().timestamp())
            if result:
                log.info("loop pass completed", extra={"pass": name, "result": result})
        except UnavailableError as error:
            FAILED_PASSES.labels(name).inc()
            log.warning("loop pass unavailable", extra={"pass": name, "error": str(error)})
        except Exception:
            FAILED_PASSES.labels(name).inc()
            failed += 1
            log.exception("loop pass failed", extra={"pass": name, "in_a_row": failed})
        seconds.observe(perf_counter() - begun)
        await (pause or clock.sleep)(backoff.delay(failed + 1))


@contextmanager
def isolated(loop: str, **of: object) -> Iterator[None]:
    """Log and count a failure of one org or cluster, so that the pass continues with the next."""
    try:
        yield
    except UnavailableError as error:
        FAILED_PASSES.labels(loop).inc()
        log.warning("loop item skipped", extra={"pass": loop, **of, "error": str(error)})
    except Exception:
        FAILED_PASSES.labels(loop).inc()
        log.exception("loop item failed", extra={"pass": loop, **of})
