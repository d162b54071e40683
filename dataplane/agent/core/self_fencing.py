"""Computes when a disconnected agent must stop its replaceable attempts (self-fencing)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kit.timestamps import from_us, to_us

_MARGIN = timedelta(seconds=2)  # between the last SIGKILL and the earliest new lease
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LastHeartbeat:
    """Latest heartbeat that the control plane acknowledged, and the deadlines it announced."""

    at: datetime  # when the agent sent it
    fence_after: timedelta  # after ``at``: the agent stops replaceable attempts
    reassign_after: timedelta  # after ``at``: the control plane may lease them to another agent


def fence_at(last_heartbeat: LastHeartbeat, grace: timedelta) -> datetime:
    """Return when to stop replaceable attempts; those still running ``grace`` later are killed."""
    latest = last_heartbeat.reassign_after - grace - _MARGIN
    return last_heartbeat.at + max(timedelta(0), min(last_heartbeat.fence_after, latest))


def parse_last_heartbeat(metadata: Mapping[str, str]) -> LastHeartbeat | None:
    """
    Return the last heartbeat in an agent's metadata; None if none was ever acknowledged.

    An unreadable one counts as expired, so that replaceable attempts stop.
    """
    if "contact_us" not in metadata:
        return None
    try:
        return LastHeartbeat(
            from_us(int(metadata["contact_us"])),
            int(metadata["fence_us"]) * _US,
            int(metadata["reassign_us"]) * _US,
        )
    except (KeyError, ValueError, OverflowError):
        return LastHeartbeat(from_us(0), timedelta(0), timedelta(0))


def render_last_heartbeat(last_heartbeat: LastHeartbeat) -> dict[str, int]:
    return {
        "contact_us": to_us(last_heartbeat.at),
        "fence_us": last_heartbeat.fence_after // _US,
        "reassign_us": last_heartbeat.reassign_after // _US,
    }
