"""
Records when pending reasons of waiting work begin and end.

Each pass re-reads the current state and writes the difference to the record. One replica does
it at a time; a replica that finds another at work skips its pass.
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
"""Age up to which this release leaves rows alone that only a later release can have written."""


class PendingReasonRecorder:
    """Loop that records pending reasons; ``keep`` is their retention."""

    def __init__(
        self, database: Database, clock: Clock, *, keep: timedelta, every: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._every = every

    async def run(self) -> None:
        await run_periodically("pending reasons", self._pass, every=self._every, clock=self._clock)

    async def _pass(self) -> None:
        await self.run_once()  # no result: most passes change something, and would log a line

    async def run_once(self) -> int:
        """Record reasons that began or ended; return how many began. Safe on every replica."""
        now = self._clock.now()
        async with self._database.for_fleet("record pending reasons") as tx:
            if not await be_alone(tx):
                return 0
            current: dict[tuple[OrgName, BlockedScope], PendingReason] = {}
            for use in await read_uses(tx):
                current |= {(use.org, blocked): found for blocked, found in find(use).items()}
            recorded = await list_there(tx)
            foreign = {key for key, past in recorded.items() if _is_of_later_release(past, now)}
            ended = [
                key
                for key, past in recorded.items()
                if key not in foreign
                and (key not in current or current[key].reason is not past.reason)
            ]
            new = {
                key: pending
                for key, pending in current.items()
                if key not in foreign
                and (key not in recorded or recorded[key].reason is not pending.reason)
            }
            if ended:
                await end(tx, ended, now)
            if new:
                await start(tx, new, now)
            await forget(tx, now - self._keep)
        return len(new)


def _is_of_later_release(past: PastPendingReason, now: datetime) -> bool:
    """
    Return whether a replica of a later release maintains this row.

    During a rolling upgrade each release would otherwise end the other's row once a second.
    After a rollback the row is ended; one whose scope is unknown cannot be named, and stays.
    """
    if past.blocked.kind is BlockedKind.UNKNOWN:
        return True
    return past.reason is Reason.UNKNOWN and now - past.began_at < LEFT_TO_OTHERS
