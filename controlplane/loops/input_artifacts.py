"""Deletes what is known of the artifacts among inputs that were stored long ago."""

from datetime import timedelta

from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.resources.artifact_uses import delete_old_inputs
from shared.kit.clock import Clock

KEEP = timedelta(days=7)
"""Longer than any client waits between the upload of inputs and the creation of their run."""
_PAGE = 1_000


class InputArtifactLoop:
    """Loop that deletes rows older than ``keep``, in pages, each in a transaction of its own."""

    def __init__(self, database: Database, clock: Clock, *, keep: timedelta = KEEP) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep

    async def run(self) -> None:
        await run_periodically(
            "input artifacts", self.run_once, every=timedelta(hours=1), clock=self._clock
        )

    async def run_once(self) -> int:
        """Delete all that are old; return how many. Safe on every replica at once."""
        before, deleted = self._clock.now() - self._keep, 0
        while True:
            async with self._database.for_fleet("delete old artifacts of inputs") as tx:
                page = await delete_old_inputs(tx, before, most=_PAGE)
            deleted += page
            if not page:
                return deleted
