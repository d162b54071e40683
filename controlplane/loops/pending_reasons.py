"""
Keeps the record of what stands in the way of work that waits, and since when.

How everything stands is looked at anew each time; what changed is written down. Replicas
that come while one is at it leave it to that one.
"""

from datetime import datetime, timedelta

from controlplane.core.pending_reasons import (
    BlockedKind,
    BlockedScope,
    PastPendingReason,
    PendingReason,
    find,
)
from controlplane.core.reason_codes import Reason
from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.pending_reasons import (
    be_alone,
    end,
    forget,
    list_there,
    read_uses,
    start,
)
from shared.kit.clock import Clock
from shared.model.ids import OrgName

LEFT_TO_OTHERS = timedelta(minutes=10)
"""For so long this release leaves alone what only a later one can have written."""


class PendingReasonRecorder:
    def __init__(
        self, database: Database, clock: Clock, *, keep: timedelta, every: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._every = every

    async def run(self) -> None:
        await run_periodically("obstacle record", self._pass, every=self._every, clock=self._clock)

    async def _pass(self) -> None:
        await self.run_once()  # too often something to be worth a line in the log

    async def run_once(self) -> int:
        """Note what has come and what has gone; returns how much came. Safe on all replicas."""
        now = self._clock.now()
        async with self._database.for_fleet("keep the record of obstacles") as tx:
            if not await be_alone(tx):
                return 0
            there: dict[tuple[OrgName, BlockedScope], PendingReason] = {}
            for use in await read_uses(tx):
                there |= {(use.org, blocked): found for blocked, found in find(use).items()}
            known = await list_there(tx)
            others = {key for key, past in known.items() if _is_of_later_release(past, now)}
            ended = [
                key
                for key, past in known.items()
                if key not in others and (key not in there or there[key].reason is not past.reason)
            ]
            new = {
                key: pending
                for key, pending in there.items()
                if key not in others
                and (key not in known or known[key].reason is not pending.reason)
            }
            if ended:
                await end(tx, ended, now)
            if new:
                await start(tx, new, now)
            await forget(tx, now - self._keep)
        return len(new)


def _is_of_later_release(past: PastPendingReason, now: datetime) -> bool:
    """
    Tell whether a replica of a later release keeps this row.

    While releases run side by side each would otherwise end the other's row once a second.
    After a rollback the row is ended; one whose scope is unknown cannot be named, and stays.
    """
    if past.blocked.kind is BlockedKind.UNKNOWN:
        return True
    return past.reason is Reason.UNKNOWN and now - past.began_at < LEFT_TO_OTHERS
