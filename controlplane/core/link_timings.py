"""Timings of the agent link: heartbeat interval and lease timeouts."""

from datetime import timedelta

from shared.kit.settings import kinds, setting, settings

_DURATION = kinds.seconds(0.1, 86_400)


@settings(
    "Timings of the agents' link",
    "Set these five together, and the same on every replica.",
)
class LinkTimings:
    """
    Heartbeat interval and lease timeouts of the link.

    An agent fences itself before its leases may be reassigned: ``self_fence`` <
    ``reassign_after``. ValueError when the timings contradict each other.
    """

    heartbeat: timedelta = setting(
        "VOLARY_LINK_HEARTBEAT_SECONDS",
        _DURATION,
        "Interval between heartbeats of each end of the link.",
        default=timedelta(seconds=5),
    )
    silent_after: timedelta = setting(
        "VOLARY_LINK_SILENT_AFTER_SECONDS",
        _DURATION,
        "A peer that is silent for this long is disconnected. At least two heartbeats.",
        default=timedelta(seconds=20),
    )
    acceptance: timedelta = setting(
        "VOLARY_LINK_ACCEPT_WITHIN_SECONDS",
        _DURATION,
        "An assignment that its agent has not accepted in this time is assigned again.",
        default=timedelta(seconds=10),
    )
    self_fence: timedelta = setting(
        "VOLARY_LINK_SELF_FENCE_SECONDS",
        _DURATION,
        "An agent that is cut off for this long stops the attempts whose disconnect policy is "
        "`replace`.",
        default=timedelta(seconds=180),
    )
    reassign_after: timedelta = setting(
        "VOLARY_LINK_REASSIGN_AFTER_SECONDS",
        _DURATION,
        "The leases of these attempts expire when their cluster is silent for this long, and the "
        "actions start elsewhere. Longer than the fence, by at least the agent's "
        "`--grace-seconds` and a few seconds.",
        default=timedelta(seconds=300),
    )

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
