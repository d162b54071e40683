"""Reads keys that sign into memory, and rotates them: when notified, and periodically."""

from datetime import timedelta
from typing import Protocol

from controlplane.feeds.feeds import Feeds
from controlplane.loops.periodic import run_periodically
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup


class RotatedKeys(Protocol):
    """Keys of the database that this replica holds in memory."""

    async def refresh(self) -> bool:
        """Read them, after adding one if it is due; return whether one was added."""
        ...


class KeyRotation:
    """Loop that keeps this replica's keys up to date: signing keys, or authorities of agents."""

    def __init__(
        self, name: str, keys: RotatedKeys, feeds: Feeds, clock: Clock, *, every: timedelta
    ) -> None:
        """``name``: of the loop, in log lines and metrics."""
        self._name = name
        self._keys = keys
        self._feeds = feeds
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._feeds.signing_keys(wakeup):
            await run_periodically(
                self._name,
                self.run_once,
                every=self._every,
                clock=self._clock,
                pause=wakeup.wait,
            )

    async def run_once(self) -> int:
        """Read the keys; return how many were added. Safe on every replica at once."""
        return int(await self._keys.refresh())
