"""
Builds the loops that register artifacts and start runs of triggers.

A part of ``main``.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial

from controlplane.api.convert.artifact_triggers import build_artifact_run
from controlplane.api.convert.produced_artifacts import parse_produced
from controlplane.api.convert.triggers import build_run
from controlplane.loops.artifact_registrations import ArtifactRegistrationLoop
from controlplane.loops.artifact_triggers import ArtifactTriggerLoop
from controlplane.loops.triggers import TriggerScheduler
from controlplane.store.database import Database
from controlplane.usecases.artifact_registrations import ArtifactRegistrations
from controlplane.usecases.artifact_triggers import ArtifactTriggers
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup


class TriggerLoops:
    """``wakeups`` registers a wakeup that is notified of changed triggers: ``Feeds.triggers``."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        wakeups: Callable[[Wakeup], AbstractContextManager[None]],
    ) -> None:
        registrations = ArtifactRegistrations(database, blobs, clock, parse_produced)
        build = partial(build_artifact_run, base=blobs.base)
        self._registrations = ArtifactRegistrationLoop(registrations, clock)
        self._versions = ArtifactTriggerLoop(ArtifactTriggers(database, blobs, clock, build), clock)
        self._scheduler = TriggerScheduler(
            database,
            wakeups,
            clock,
            build=partial(build_run, base=blobs.base),
            every=timedelta(seconds=1),
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._registrations.run(), name="artifact registrations")
            loops.create_task(self._versions.run(), name="artifact triggers")
            loops.create_task(self._scheduler.run(), name="scheduled triggers")
