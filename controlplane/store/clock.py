"""
Estimates the database's clock, which all replicas use: their own may differ, or be set.

Between two samples the estimate advances by this machine's monotonic counter.
"""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from controlplane.store.database import Database
from shared.kit.clock import SystemClock

log = logging.getLogger(__name__)

_NOW = text("SELECT clock_timestamp() AS now")
_JUMP = timedelta(seconds=1)
"""A clock does not drift so far between two samples: one of the clocks was set."""
FINE = timedelta(milliseconds=20)
"""A sample with a larger error bound is replaced by any better one."""


@dataclass(frozen=True, slots=True)
class ClockSample:
    """The database's time when our counter was zero, and the error bound of that estimate."""

    origin: datetime
    error_bound: timedelta  # half of the query's round trip


def is_better(known: ClockSample, found: ClockSample) -> bool:
    """
    Return whether the new sample replaces the known one.

    A difference within the error bounds does not count: the clock would step back by a
    millisecond for no gain.
    """
    return abs(found.origin - known.origin) > min(known.error_bound, FINE) + found.error_bound


class StoreClock(SystemClock):
    """Clock that follows the database's; before the first ``set`` it shows this machine's time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sample: ClockSample | None = None

    def now(self) -> datetime:
        if self._sample is None:
            return super().now()
        return self._sample.origin + timedelta(seconds=time.monotonic())

    async def set(self) -> None:
        """Sample the database's clock and adopt it; UnavailableError if Postgres is unreachable."""
        async with self._database.for_fleet("sample the database clock") as tx:
            before = time.monotonic()
            found: datetime = (await tx.connection.execute(_NOW)).one().now
            after = time.monotonic()
        origin = found.astimezone(UTC) - timedelta(seconds=(before + after) / 2)
        sample, known = ClockSample(origin, timedelta(seconds=(after - before) / 2)), self._sample
        if known is not None and abs(sample.origin - known.origin) > _JUMP:
            seconds = (sample.origin - known.origin).total_seconds()
            log.warning("database clock jumped", extra={"seconds": seconds})
        if known is None or is_better(known, sample):
            self._sample = sample
