"""When a cluster that is cut off must let go of what may be begun elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataplane.agent.core.timestamps import from_us, to_us

_MARGIN = timedelta(seconds=2)  # between the last SIGKILL and the earliest new lease
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LastHeartbeat:
    """The last word of ours that the control plane has noted, and what it then promised."""

    at: datetime  # when we said it
    fence_after: timedelta
    reassign_after: timedelta


def fence_at(last_heartbeat: LastHeartbeat, grace: timedelta) -> datetime:
    """Return when to ask attempts to stop: what is still there ``grace`` later is killed."""
    latest = last_heartbeat.reassign_after - grace - _MARGIN
    return last_heartbeat.at + max(timedelta(0), min(last_heartbeat.fence_after, latest))


def parse_last_heartbeat(facts: Mapping[str, str]) -> LastHeartbeat | None:
    """
    Return the contact that an agent wrote down; None if it never had any.

    One that cannot be read counts as long ago: what may be begun elsewhere must stop.
    """
    if "contact_us" not in facts:
        return None
    try:
        return LastHeartbeat(
            from_us(int(facts["contact_us"])),
            int(facts["fence_us"]) * _US,
            int(facts["reassign_us"]) * _US,
        )
    except (KeyError, ValueError, OverflowError):
        return LastHeartbeat(from_us(0), timedelta(0), timedelta(0))


def render_last_heartbeat(last_heartbeat: LastHeartbeat) -> dict[str, int]:
    return {
        "contact_us": to_us(last_heartbeat.at),
        "fence_us": last_heartbeat.fence_after // _US,
        "reassign_us": last_heartbeat.reassign_after // _US,
    }
