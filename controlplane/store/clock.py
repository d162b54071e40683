"""
The database's clock. Replicas go by it, because their own may differ, and be set.

Between two looks it is carried on by a counter of this machine that nobody can set.
"""

import logging
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from controlplane.store.database import Database
from shared.kit.clock import SystemClock

log = logging.getLogger(__name__)

_NOW = text("SELECT clock_timestamp() AS now")
_JUMP = timedelta(seconds=1)
"""No clock goes so wrong between two looks; it was set."""


class StoreClock(SystemClock):
    """Shows this machine's time until it has been set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._origin: datetime | None = None  # when the counter was zero

    def now(self) -> datetime:
        if self._origin is None:
            return super().now()
        return self._origin + timedelta(seconds=time.monotonic())

    async def set(self) -> None:
        """
        Look at the database's clock, and go by it; UnavailableError when Postgres is away.

        A difference that may be due to the time that the look took is none.
        """
        async with self._database.for_fleet("look at the clock") as tx:
            before = time.monotonic()
            found: datetime = (await tx.connection.execute(_NOW)).one().now
            after = time.monotonic()
        origin = found.astimezone(UTC) - timedelta(seconds=(before + after) / 2)
        moved = timedelta() if self._origin is None else origin - self._origin
        if abs(moved) > _JUMP:
            log.warning("the database's clock was set", extra={"seconds": moved.total_seconds()})
        if self._origin is None or abs(moved) > timedelta(seconds=after - before):
            self._origin = origin
