"""Timings of the agent link: heartbeat interval and lease timeouts."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimings:
    """
    Heartbeat interval and lease timeouts of the link.

    An agent fences itself before its leases may be reassigned: ``self_fence`` <
    ``reassign_after``. ValueError when the timings contradict each other.
    """

    heartbeat: timedelta = timedelta(seconds=5)
    silent_after: timedelta = timedelta(seconds=20)
    acceptance: timedelta = timedelta(seconds=10)
    """A lease that is not accepted within this time is requeued."""
    self_fence: timedelta = timedelta(seconds=180)
    reassign_after: timedelta = timedelta(seconds=300)

    def __post_init__(self) -> None:
        if not timedelta(0) < 2 * self.heartbeat <= self.silent_after:
            raise ValueError("silent_after must be at least two heartbeats")
        if not self.silent_after < self.reassign_after:
            raise ValueError("reassign_after must be longer than silent_after")
        if not timedelta(0) < self.self_fence < self.reassign_after:
            raise ValueError(
                "self_fence must be shorter than reassign_after: an agent fences itself before "
                "its leases are reassigned"
            )
        if self.acceptance <= timedelta(0):
            raise ValueError("the time to accept a lease must be longer than zero")

    @property
    def passes(self) -> timedelta:
        """Return the interval between passes of the lease expiry loop."""
        return self.heartbeat * 0.4
