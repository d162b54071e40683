"""Creates daily partitions for events ahead of time, and drops those past their retention."""

from datetime import timedelta

from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.partitions import add_event_days, drop_event_days
from shared.kit.clock import Clock

_AHEAD = 7


class EventPartitions:
    """Loop that creates and drops partitions of events; ``keep`` is the retention."""

    def __init__(
        self, database: Database, clock: Clock, *, keep: timedelta, every: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._every = every

    async def run(self) -> None:
        await run_periodically(
            "event partitions", self.run_once, every=self._every, clock=self._clock
        )

    async def run_once(self) -> int:
        """Create and drop partitions; return how many. Safe on every replica at once."""
        today = self._clock.now().date()
        async with self._database.for_fleet("maintain event partitions") as tx:
            added = await add_event_days(tx, today, _AHEAD)
            dropped = await drop_event_days(tx, today - self._keep)
        return added + dropped
