"""
When patience with an action ends.

``queued_timeout`` bounds how long each attempt waits before its cluster begins with it;
backoff is asked for, so it does not count. ``deadline`` bounds everything, from the first
enqueue on, whatever budget of retries is left. ``max_runtime`` is the agent's to keep.
"""

from datetime import datetime

from controlplane.core.actions import RetryPolicy
from shared.model.phases import Phase

QUEUED_TIMEOUT = "QUEUED_TIMEOUT_EXCEEDED"
DEADLINE = "DEADLINE_EXCEEDED"
"""The codes by which the SDK chooses its exceptions."""

QUEUED = frozenset({Phase.QUEUED, Phase.WAITING_FOR_RESOURCES})
"""The phases in which an attempt waits, in the SDK's words."""


def due_at(
    policy: RetryPolicy, phase: Phase, *, created_at: datetime, available_at: datetime
) -> datetime | None:
    """
    Return when the action ends if nothing else happens; None if never.

    ``available_at`` is since when its current attempt has waited.
    """
    ends = []
    if policy.deadline:
        ends.append(created_at + policy.deadline)
    if policy.queued_timeout and phase in QUEUED:
        ends.append(available_at + policy.queued_timeout)
    return min(ends, default=None)
