"""
Checks regularly what the agent depends on, and keeps the latest findings for the link.

They are state, not events: each session sends the latest once, and again when they change.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from shared.kit.backoff import jittered
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.findings import Finding, Findings, bound_findings

logger = logging.getLogger(__name__)

EVERY = timedelta(minutes=10)
_JITTER = 0.2
"""Agents that started together do not ask their API servers in the same second."""

Check = Callable[[timedelta | None], Awaitable[Sequence[Finding]]]
"""Runs one round of checks, given how far this clock is ahead of the control plane's, if known."""


class FindingsLoop:
    """:meth:`run` checks; the session handler reads ``latest`` and reports each session's skew."""

    def __init__(self, check: Check, wakeup: Wakeup, clock: Clock) -> None:
        self._check = check
        self._wakeup = wakeup
        self._clock = clock
        self._skew: timedelta | None = None
        self._due = Wakeup()
        self.latest: Findings | None = None

    async def run(self) -> None:
        """Check every ten minutes, and once the first session shows the skew, until cancelled."""
        while True:
            await self.run_once()
            await self._due.wait(at_most=jittered(EVERY, _JITTER))

    def note_skew(self, skew: timedelta) -> None:
        """Take note of how far this clock is ahead of the control plane's."""
        if self._skew is None:  # not at each reconnect: the checks ask the API server
            self._due.wake()
        self._skew = skew

    async def run_once(self) -> None:
        """Check once; findings that have not changed keep their time, and are not sent again."""
        try:
            found = bound_findings(await self._check(self._skew))
        except Exception:  # a check that fails must not end the agent
            logger.exception("checks of the agent failed")
            return
        if self.latest is None or self.latest.findings != found:
            self.latest = Findings(found, self._clock.now())
            self._wakeup.wake()
