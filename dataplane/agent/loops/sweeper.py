"""Removes the directories of ended attempts after their retention."""

import logging
from datetime import timedelta

from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_EVERY = timedelta(minutes=1)


class Sweeper:
    def __init__(
        self, ledger: Ledger, runtime: ProcessRuntime, clock: Clock, *, retention: timedelta
    ) -> None:
        self._ledger = ledger
        self._runtime = runtime
        self._clock = clock
        self._retention = retention

    async def run(self) -> None:
        """Sweep every minute until cancelled, first at once for an earlier agent's files."""
        while True:
            swept = await self.run_once()
            if swept:
                logger.debug("attempts swept", extra={"count": swept})
            await self._clock.sleep(_EVERY)

    async def run_once(self) -> int:
        return await self._runtime.sweep(self._ledger.active.keys(), self._retention)
