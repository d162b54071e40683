"""When a cluster that is cut off must let go of what may be begun elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataplane.agent.core.instants import from_us, to_us

_MARGIN = timedelta(seconds=2)  # between the last SIGKILL and the earliest new lease
_US = timedelta(microseconds=1)


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


def read_contact(facts: Mapping[str, str]) -> Contact | None:
    """
    Return the contact that an agent wrote down; None if it never had any.

    One that cannot be read counts as long ago: what may be begun elsewhere must stop.
    """
    if "contact_us" not in facts:
        return None
    try:
        return Contact(
            from_us(int(facts["contact_us"])),
            int(facts["fence_us"]) * _US,
            int(facts["reassign_us"]) * _US,
        )
    except (KeyError, ValueError, OverflowError):
        return Contact(from_us(0), timedelta(0), timedelta(0))


def write_contact(contact: Contact) -> dict[str, int]:
    return {
        "contact_us": to_us(contact.at),
        "fence_us": contact.fence_after // _US,
        "reassign_us": contact.reassign_after // _US,
    }
