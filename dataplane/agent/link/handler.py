"""What the link needs of the agent behind it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from dataplane.agent.core.messages import AgentMessage, Lease, Welcome, Work
from shared.kit.wakeup import Wakeup


class SessionHandler(Protocol):
    """
    Takes what came, and says what is due.

    ``due`` is asked whenever ``wakeup`` rings and hands over messages that then count as
    sent; what a broken stream loses, ``begin`` makes due again.
    """

    @property
    def wakeup(self) -> Wakeup: ...

    async def begin(self) -> Sequence[Lease]:
        """A session begins: what was unacknowledged is due again. Return what is held."""

    async def welcome(self, welcome: Welcome) -> None:
        """The control plane took us."""

    async def record_heartbeat(self, at: datetime) -> None:
        """The control plane has noted what we said at that instant."""

    async def take(self, message: Work) -> None:
        """Take a message; returning means that it is safe with us."""

    def capacity(self) -> int:
        """Return how many assignments more may come."""

    def holding(self) -> tuple[int, int]:
        """Return how many attempts are held and how many run, for the heartbeat."""

    def due(self) -> Sequence[AgentMessage]:
        """Return what is to be sent now."""

    async def end(self) -> None:
        """The session is over; calls end with it."""
