"""Reads revocations into memory: when notified, and every second in case a notification was lost."""

from datetime import datetime, timedelta

from controlplane.authn.revocations import Revocations
from controlplane.core.credentials import REVOCATION_KEPT
from controlplane.feeds.feeds import Feeds
from controlplane.loops.periodic import run_periodically
from controlplane.store.credentials.revocations import list_revoked
from controlplane.store.database import Database
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup

_OVERLAP = timedelta(seconds=60)
"""Longer than a transaction may take: its rows are older than its commit."""


class RevocationReader:
    """Loop that reads the revocations since the last pass, a minute before it included."""

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        feeds: Feeds,
        clock: Clock,
        *,
        every: timedelta,
    ) -> None:
        self._database = database
        self._revocations = revocations
        self._feeds = feeds
        self._clock = clock
        self._every = every
        self._read_at: datetime | None = None

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._feeds.revocations(wakeup):
            await run_periodically(
                "revocations",
                self.run_once,
                every=self._every,
                clock=self._clock,
                pause=wakeup.wait,
            )

    async def run_once(self) -> int:
        """Read what is new; return how many credentials were revoked since the last pass."""
        now = self._clock.now()
        since = now - REVOCATION_KEPT if self._read_at is None else self._read_at
        async with self._database.for_fleet("read revocations") as tx:
            revoked = await list_revoked(tx, since - _OVERLAP)
        self._read_at = now
        return self._revocations.add(revoked, now)
