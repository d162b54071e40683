"""
Relays: a call to an agent whose stream another replica has goes through the store.

Bounded in every direction, so that a reader who is slow, or has gone without a word,
costs its own call and no more than these.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType
from uuid import UUID

from shared.model.ids import OrgName

ForwardedCallId = NewType("ForwardedCallId", UUID)

MOST_OF_CLUSTER = 256
"""Relayed calls at once, as many as an agent takes."""
MOST_UNREAD = 8
"""Replies of one call that lie in the store."""
MAX_REPLY_BYTES = 1024 * 1024
"""An agent's chunk of a log is a quarter of that."""
ANSWERED_WITHIN = timedelta(seconds=2)
"""If nobody has taken the call by then, no replica has the agent's stream."""
STALE_AFTER = timedelta(seconds=60)
"""A caller that has not been seen for so long has gone without a word."""


@dataclass(frozen=True, slots=True)
class ForwardedCallRef:
    org: OrgName
    id: ForwardedCallId


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a relayed call stands, as its caller finds it."""

    asked_at: datetime
    epoch: int | None  # of the session that answers
    current: int  # epoch of the cluster's latest session
    connected: bool  # the latest session, as far as anybody knows

    def is_lost(self, now: datetime) -> bool:
        """Whether nobody answers, and nobody will."""
        if self.epoch is None:
            return now - self.asked_at >= ANSWERED_WITHIN
        return self.epoch != self.current or not self.connected
