"""
Timeouts of actions: computes when an action times out.

``queued_timeout`` bounds how long each attempt waits before its cluster starts it; backoff does
not count, because the task asks for it. ``deadline`` bounds the whole action, from its enqueue
on, whatever retry budget is left. ``max_runtime`` is enforced by the agent.
"""

from datetime import datetime

from controlplane.core.actions import RetryPolicy
from shared.model.phases import Phase

QUEUED_TIMEOUT = "QUEUED_TIMEOUT_EXCEEDED"
DEADLINE = "DEADLINE_EXCEEDED"
"""Error codes from which the SDK chooses its exception types."""

QUEUED = frozenset({Phase.QUEUED, Phase.WAITING_FOR_RESOURCES})
"""Phases that the SDK counts as waiting."""


def due_at(
    policy: RetryPolicy, phase: Phase, *, created_at: datetime, available_at: datetime
) -> datetime | None:
    """
    Return when the action times out in its current phase; None if never.

    ``available_at`` is when its current attempt became ready to be leased.
    """
    ends = []
    if policy.deadline:
        ends.append(created_at + policy.deadline)
    if policy.queued_timeout and phase in QUEUED:
        ends.append(available_at + policy.queued_timeout)
    return min(ends, default=None)
