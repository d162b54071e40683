"""Interface between the gRPC stream and the agent's session handler."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from shared.kit.wakeup import Wakeup
from shared.model.link_messages import AgentMessage, Lease, Welcome, Work


class SessionHandler(Protocol):
    """
    Takes received messages and returns the messages to send.

    ``due`` is called after each ``wakeup``; the messages it returns count as sent. Those that
    a broken stream loses become due again at the next ``begin``.
    """

    @property
    def wakeup(self) -> Wakeup: ...

    async def begin(self) -> Sequence[Lease]:
        """Start a session: unacknowledged messages become due again. Return the active leases."""

    async def welcome(self, welcome: Welcome) -> None:
        """Take note that the control plane accepted the session."""

    async def record_heartbeat(self, at: datetime) -> None:
        """Take note that the control plane acknowledged the heartbeat sent at ``at``."""

    async def take(self, message: Work) -> None:
        """Process a message; once this returns it must not be lost."""

    async def end_attempts(self) -> tuple[int, int]:
        """
        Stop every attempt, without a session: org or identity of the agent are gone.

        Waits until they have ended, for END_ATTEMPTS_WITHIN at most. Returns how many have ended
        and how many remain.
        """

    def capacity(self) -> int:
        """Return how many more assignments the agent can take."""

    def holding(self) -> tuple[int, int]:
        """Return how many attempts are active and how many run, for the heartbeat."""

    def due(self) -> Sequence[AgentMessage]:
        """Return the messages to send now."""

    async def end(self) -> None:
        """End the session and its calls."""
