"""Deletes codes, tokens, revocations and keys that have expired."""

from datetime import timedelta

from controlplane.loops.periodic import run_periodically
from controlplane.store.credentials.expiry import delete_expired
from controlplane.store.credentials.revocations import delete_expired_revocations
from controlplane.store.credentials.signing_keys import delete_expired_keys
from controlplane.store.database import Database
from shared.kit.clock import Clock


class ExpiredCredentials:
    """Loop that deletes expired credentials in pages, each in a transaction of its own."""

    def __init__(self, database: Database, clock: Clock, *, every: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await run_periodically(
            "expired credentials", self.run_once, every=self._every, clock=self._clock
        )

    async def run_once(self) -> int:
        """Delete all that has expired; return how many rows. Safe on every replica at once."""
        now, deleted = self._clock.now(), 0
        async with self._database.for_fleet("delete expired keys") as tx:
            deleted += await delete_expired_keys(tx, now)
            deleted += await delete_expired_revocations(tx, now)
        while True:
            async with self._database.for_fleet("delete expired credentials") as tx:
                counts = await delete_expired(tx, now)
            deleted += sum(counts)
            if not any(counts):
                return deleted
