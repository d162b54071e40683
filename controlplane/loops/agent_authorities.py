"""Reads agents' authorities into memory, and rotates them: when notified, and twice a minute."""

from datetime import timedelta

from controlplane.feeds.feeds import Feeds
from controlplane.loops.periodic import run_periodically
from controlplane.usecases.agents.authorities import AgentAuthorities
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup


class AgentAuthorityRotation:
    """Loop that keeps this replica's authorities up to date."""

    def __init__(
        self, authorities: AgentAuthorities, feeds: Feeds, clock: Clock, *, every: timedelta
    ) -> None:
        self._authorities = authorities
        self._feeds = feeds
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._feeds.signing_keys(wakeup):
            await run_periodically(
                "agent authorities",
                self.run_once,
                every=self._every,
                clock=self._clock,
                pause=wakeup.wait,
            )

    async def run_once(self) -> int:
        """Read them; return how many were added. Safe on every replica at once."""
        return int(await self._authorities.refresh())
