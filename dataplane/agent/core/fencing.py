"""When a cluster that is cut off must let go of what may be begun elsewhere."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_MARGIN = timedelta(seconds=2)  # between the last SIGKILL and the earliest new lease


@dataclass(frozen=True, slots=True)
class Contact:
    """The last word of ours that the control plane has noted, and what it then promised."""

    at: datetime  # when we said it
    fence_after: timedelta
    reassign_after: timedelta


def fence_at(contact: Contact, grace: timedelta) -> datetime:
    """Return when to ask attempts to stop: what is still there ``grace`` later is killed."""
    latest = contact.reassign_after - grace - _MARGIN
    return contact.at + max(timedelta(0), min(contact.fence_after, latest))
