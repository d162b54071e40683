"""Reads signing keys into memory, and rotates them: when notified, and twice a minute."""

from datetime import timedelta

from controlplane.feeds.feeds import Feeds
from controlplane.loops.periodic import run_periodically
from controlplane.usecases.signing_keys import SigningKeys
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup


class SigningKeyRotation:
    """Loop that keeps this replica's signing keys up to date."""

    def __init__(self, keys: SigningKeys, feeds: Feeds, clock: Clock, *, every: timedelta) -> None:
        self._keys = keys
        self._feeds = feeds
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._feeds.signing_keys(wakeup):
            await run_periodically(
                "signing keys",
                self.run_once,
                every=self._every,
                clock=self._clock,
                pause=wakeup.wait,
            )

    async def run_once(self) -> int:
        """Read the keys; return how many were published. Safe on every replica at once."""
        return int(await self._keys.refresh())
