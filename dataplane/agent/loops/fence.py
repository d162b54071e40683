"""
Stops replaceable attempts once the agent has been disconnected for too long (self-fencing).

The control plane leases such an attempt to another agent some time after the last heartbeat
it recorded, and two must not run at once; so this agent stops its own before that. The last
acknowledged heartbeat is in the ledger, because the agent may die and restart while it is
disconnected. Runtimes get the deadline as well: the agent may die for good, and then the
processes stop by themselves.
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
    """A runtime whose processes outlive the agent."""

    def allow_until(self, at: datetime) -> None:
        """Let replaceable attempts run until ``at``."""


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
        """Check every second until cancelled."""
        while True:
            self.run_once()
            await self._clock.sleep(_EVERY)

    def move_on(self) -> None:
        """Extend the processes' deadline after a heartbeat was acknowledged."""
        if self._ledger.last_heartbeat is not None:
            self._processes.allow_until(fence_at(self._ledger.last_heartbeat, self._grace))

    def run_once(self) -> int:
        """Stop replaceable attempts if the deadline has passed; return how many."""
        last_heartbeat = self._ledger.last_heartbeat
        if last_heartbeat is None:
            return 0
        if self._clock.now() < fence_at(last_heartbeat, self._grace):
            return 0
        stopped = self._attempts.stop_replaceable()
        if stopped:
            logger.warning(
                "no contact with the control plane for too long, replaceable attempts stopped",
                extra={"count": stopped, "since": last_heartbeat.at.isoformat()},
            )
        return stopped
