"""
Limits and state of forwarded calls: calls to an agent whose stream is on another replica.

Forwarded calls go through the store. Each dimension is bounded, so that a slow or crashed
reader costs its own call and at most these limits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType
from uuid import UUID

from shared.model.ids import OrgName

ForwardedCallId = NewType("ForwardedCallId", UUID)

MOST_OF_CLUSTER = 256
"""Concurrent forwarded calls per cluster; an agent accepts as many."""
MOST_UNREAD = 8
"""Unread replies of one call in the store."""
MAX_REPLY_BYTES = 1024 * 1024
"""Largest reply; an agent's log chunk is a quarter of that."""
ANSWERED_WITHIN = timedelta(seconds=2)
"""Deadline for a replica to claim the call; after it, no replica has the agent's stream."""
STALE_AFTER = timedelta(seconds=60)
"""A caller not seen for this long is taken to have crashed; its call is deleted."""


@dataclass(frozen=True, slots=True)
class ForwardedCallRef:
    """Identifies a forwarded call within its org."""

    org: OrgName
    id: ForwardedCallId


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """State of a forwarded call as its caller reads it."""

    asked_at: datetime
    epoch: int | None  # of the session that claimed the call; None: not claimed
    current: int  # epoch of the cluster's latest session
    connected: bool  # whether the latest session counts as connected

    def is_lost(self, now: datetime) -> bool:
        """Return whether no replica answers the call and none will."""
        if self.epoch is None:
            return now - self.asked_at >= ANSWERED_WITHIN
        return self.epoch != self.current or not self.connected
