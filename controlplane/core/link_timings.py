"""The link's clocks: how often each side speaks, and how long the other bears silence."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimings:
    """
    An agent fences itself before its leases may go elsewhere: ``self_fence`` <
    ``reassign_after``. ValueError when the times do not go together.
    """

    heartbeat: timedelta = timedelta(seconds=5)
    silent_after: timedelta = timedelta(seconds=20)
    acceptance: timedelta = timedelta(seconds=10)
    """A lease that is not accepted in this time waits again."""
    self_fence: timedelta = timedelta(seconds=180)
    reassign_after: timedelta = timedelta(seconds=300)

    def __post_init__(self) -> None:
        if not timedelta(0) < 2 * self.heartbeat <= self.silent_after:
            raise ValueError("silence begins after two heartbeats at the earliest")
        if not self.silent_after < self.reassign_after:
            raise ValueError("leases go elsewhere after a cluster has fallen silent, not before")
        if not timedelta(0) < self.self_fence < self.reassign_after:
            raise ValueError("an agent fences itself before its leases go elsewhere")
        if self.acceptance <= timedelta(0):
            raise ValueError("an agent needs some time to accept")

    @property
    def passes(self) -> timedelta:
        """How often leases are looked through."""
        return self.heartbeat * 0.4
