"""Use case of a queue's history: how much work it had over time, from counts of each minute."""

from datetime import datetime, timedelta

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError
from controlplane.core.queues import QueueHistory
from controlplane.store.database import Database
from controlplane.store.dispatch.queue_samples import read_history
from shared.kit.clock import Clock

KEPT = timedelta(days=7)
"""Retention of the counts."""
USUAL = timedelta(days=1)
MAX_BUCKETS = 500
DEFAULT_BUCKETS = 100
_MINUTE = timedelta(minutes=1)


class QueueHistoryReader:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(
        self,
        caller: Caller,
        queue: str,
        *,
        since: datetime | None,
        until: datetime | None,
        buckets: int,
    ) -> QueueHistory:
        """
        Read the work of a queue, "" for the default one, in ``buckets`` (0: a hundred).

        By default of the last day; the queue need not exist any more. InvalidError.
        """
        caller.require(Permission.QUEUE_READ)
        if not 0 <= buckets <= MAX_BUCKETS:
            raise InvalidError(f"buckets: must be from 0 to {MAX_BUCKETS}, is {buckets}")
        now = self._clock.now()
        end = min(until or now, now)
        begin = max(end - USUAL if since is None else since, now - KEPT)
        if end - begin < _MINUTE:
            raise InvalidError(
                "since: must be a minute or more before until, and in the last seven days"
            )
        async with self._database.for_org(caller.org) as tx:
            found = await read_history(
                tx, queue, since=begin, until=end, buckets=buckets or DEFAULT_BUCKETS
            )
        return QueueHistory(since=begin, until=end, buckets=found)
