"""Checks of what the agent depends on, as the command line hands them in."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from dataplane.agent.settings import Settings
from shared.kit.clock import Clock
from shared.model.findings import Finding

Checks = Callable[[Settings, Clock, timedelta | None], Awaitable[Sequence[Finding]]]
"""Settings, clock, and how far this clock is ahead of the control plane's, if it is known."""
