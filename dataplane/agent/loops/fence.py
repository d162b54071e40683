"""
Stops what may be begun elsewhere, once the agent has been cut off for long.

The control plane leases such an attempt again some time after it last heard of us, and two
must not run at once; so we stop ours before. What the last contact was is in the ledger,
because the agent may die and come back while it is cut off. Processes are told as well:
the agent may die and stay dead, and they stop by themselves.
"""

import logging
from datetime import datetime, timedelta
from typing import Protocol

from dataplane.agent.core.self_fencing import fence_at
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.loops.attempts import Attempts
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_EVERY = timedelta(seconds=1)


class Fenced(Protocol):
    """A runtime whose processes live on without the agent."""

    def allow_until(self, at: datetime) -> None:
        """Let what may be begun elsewhere run until then."""


class Fence:
    def __init__(
        self,
        ledger: Ledger,
        attempts: Attempts,
        processes: Fenced,
        clock: Clock,
        *,
        grace: timedelta,
    ) -> None:
        self._ledger = ledger
        self._processes = processes
        self._attempts = attempts
        self._clock = clock
        self._grace = grace

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.run_once()
            await self._clock.sleep(_EVERY)

    def move_on(self) -> None:
        """The control plane has noted us: let processes run until it may have forgotten us."""
        if self._ledger.last_heartbeat is not None:
            self._processes.allow_until(fence_at(self._ledger.last_heartbeat, self._grace))

    def run_once(self) -> int:
        """Stop what must not go on; return how many attempts that were."""
        last_heartbeat = self._ledger.last_heartbeat
        if last_heartbeat is None:
            return 0
        if self._clock.now() < fence_at(last_heartbeat, self._grace):
            return 0
        stopped = self._attempts.stop_replaceable()
        if stopped:
            logger.warning(
                "cut off from the control plane for too long; replaceable attempts are stopped",
                extra={"count": stopped, "since": last_heartbeat.at.isoformat()},
            )
        return stopped
