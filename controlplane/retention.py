"""
Builds and runs what deletes old data: runs, events, unused entries of the cache.

A part of ``main``.
"""

import asyncio
from datetime import timedelta

from controlplane.core.retention import EVENTS_KEPT, RetentionPolicy
from controlplane.loops.input_artifacts import InputArtifactLoop
from controlplane.loops.partitions import EventPartitions
from controlplane.loops.run_purges import RunPurgeLoop
from controlplane.loops.unused_cache_entries import UnusedCacheEntries
from controlplane.settings import Settings
from controlplane.store.database import Database
from controlplane.usecases.run_purges import RunPurges
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock


def policy_of(settings: Settings) -> RetentionPolicy:
    """Return for how long data is kept."""
    return RetentionPolicy(
        runs=settings.run_retention.keep, unused_cache_entries=settings.cache.keep_unused
    )


class Retention:
    """The loops, on the database of loops."""

    def __init__(
        self, settings: Settings, database: Database, blobs: BlobStore, clock: Clock
    ) -> None:
        self._partitions = EventPartitions(
            database, clock, keep=EVENTS_KEPT, every=timedelta(hours=6)
        )
        self._unused_entries = UnusedCacheEntries(
            database, clock, keep=settings.cache.keep_unused, every=settings.cache.delete_every
        )
        purges = RunPurges(database, blobs, clock, keep=settings.run_retention.keep)
        self._input_artifacts = InputArtifactLoop(database, clock)
        self._run_purges = RunPurgeLoop(purges, clock)

    async def run(self) -> None:
        """Run the loops until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._partitions.run(), name="event partitions")
            loops.create_task(self._unused_entries.run(), name="unused cache entries")
            loops.create_task(self._input_artifacts.run(), name="input artifacts")
            loops.create_task(self._run_purges.run(), name="run purges")
