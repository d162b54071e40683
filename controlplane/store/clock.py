"""
The database's clock. Replicas go by it, because their own may differ, and be set.

Between two looks it is carried on by a counter of this machine that nobody can set.
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
"""No clock goes so wrong between two looks; it was set."""
FINE = timedelta(milliseconds=20)
"""A look that leaves more doubt is mended by a better one."""


@dataclass(frozen=True, slots=True)
class ClockSample:
    """What the database's clock showed when our counter was zero, and how far off that may be."""

    origin: datetime
    error_bound: timedelta  # half of what the look took


def is_better(known: ClockSample, found: ClockSample) -> bool:
    """
    Tell whether to go by the new look instead.

    A difference that may be due to the time that either took is none: time that goes back by
    a millisecond helps nobody.
    """
    return abs(found.origin - known.origin) > min(known.error_bound, FINE) + found.error_bound


class StoreClock(SystemClock):
    """Shows this machine's time until it has been set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sample: ClockSample | None = None

    def now(self) -> datetime:
        if self._sample is None:
            return super().now()
        return self._sample.origin + timedelta(seconds=time.monotonic())

    async def set(self) -> None:
        """Look at the database's clock, and go by it; UnavailableError when Postgres is away."""
        async with self._database.for_fleet("look at the clock") as tx:
            before = time.monotonic()
            found: datetime = (await tx.connection.execute(_NOW)).one().now
            after = time.monotonic()
        origin = found.astimezone(UTC) - timedelta(seconds=(before + after) / 2)
        sample, known = ClockSample(origin, timedelta(seconds=(after - before) / 2)), self._sample
        if known is not None and abs(sample.origin - known.origin) > _JUMP:
            seconds = (sample.origin - known.origin).total_seconds()
            log.warning("the database's clock was set", extra={"seconds": seconds})
        if known is None or is_better(known, sample):
            self._sample = sample
