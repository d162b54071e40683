"""Runs a background pass periodically; a pass that fails is logged, counted and run again."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from prometheus_client import Counter

from controlplane.core.errors import UnavailableError
from shared.kit.clock import Clock

log = logging.getLogger(__name__)

FAILED_PASSES = Counter(
    "volary_loop_failures",
    "Passes of a background loop that failed, and were run again later.",
    ["loop"],
    registry=None,  # ``main`` registers it
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
    Run a pass for ever. A pass does not retry inside: the next one is the retry.

    No failure ends the loop: it runs on every replica, for all tenants, and what one pass
    cannot read or write the next one often can. While the database is unavailable the next
    pass comes at the usual interval; after any other failure, which is a fault of ours or in
    the data, the interval doubles with each one in a row, up to a minute.

    ``pause`` waits for the next pass in place of the clock, at most as long as it is told.
    """
    failed = 0
    while True:
        try:
            result = await run_once()
            failed = 0
            if result:
                log.info("pass did something", extra={"pass": name, "result": result})
        except UnavailableError as error:
            FAILED_PASSES.labels(name).inc()
            log.warning("pass could not run", extra={"pass": name, "error": str(error)})
        except Exception:
            FAILED_PASSES.labels(name).inc()
            failed += 1
            log.exception("pass failed", extra={"pass": name, "in_a_row": failed})
        await (pause or clock.sleep)(backoff(every, failed))


def backoff(every: timedelta, failed: int) -> timedelta:
    """Return how long to wait before the next pass after ``failed`` failures in a row."""
    doubled: timedelta = every * 2 ** min(failed, 16)
    return max(every, min(doubled, LONGEST_BACKOFF))


@contextmanager
def isolated(loop: str, **of: object) -> Iterator[None]:
    """Log and count a failure that is one org's or cluster's: the pass goes on to the next."""
    try:
        yield
    except UnavailableError as error:
        FAILED_PASSES.labels(loop).inc()
        log.warning("pass left one out", extra={"pass": loop, **of, "error": str(error)})
    except Exception:
        FAILED_PASSES.labels(loop).inc()
        log.exception("pass left one out", extra={"pass": loop, **of})
