"""
Active attempts: accepted by the agent, their end not yet acknowledged by the control plane.

Versions count the attempt's reports from 1 without gaps; only :func:`next_report` assigns
them. Transitions that the phase table forbids are not reported. A phase that was already
reported is reported again only with a new reason, so that all pending time is explained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.model.assignments import Assignment
from shared.model.link_messages import Lease
from shared.model.phases import NEXT, TERMINAL, Phase
from shared.model.reports import ClusterEvent, Failure, LogLink, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAttempt:
    assignment: Assignment
    accepted_at: datetime
    version: int = 0  # of the latest report
    phase: Phase = Phase.QUEUED  # in the latest report
    reason: str = ""  # in the latest report

    @property
    def lease(self) -> Lease:
        return Lease(self.assignment.attempt, self.assignment.lease)

    @property
    def is_over(self) -> bool:
        return self.phase in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """New status of an attempt: a report without attempt, lease, version and time."""

    phase: Phase
    reason: str = ""
    message: str = ""
    failure: Failure | None = None
    output_uri: str = ""
    report_uri: str = ""
    log_uri: str = ""
    events: Sequence[ClusterEvent] = ()
    log_links: Sequence[LogLink] = ()


def next_report(
    active: ActiveAttempt, update: StatusUpdate, at: datetime
) -> tuple[ActiveAttempt, Report | None]:
    """Return the next report; None if already reported, or not allowed by the phase table."""
    explains = (
        update.phase is active.phase
        and not active.is_over
        and update.reason not in ("", active.reason)
    )
    if update.phase not in NEXT[active.phase] and not explains:
        return active, None
    active = replace(active, version=active.version + 1, phase=update.phase, reason=update.reason)
    return active, Report(
        attempt=active.assignment.attempt,
        lease=active.assignment.lease,
        version=active.version,
        phase=update.phase,
        at=at,
        reason=update.reason,
        message=update.message,
        failure=update.failure,
        output_uri=update.output_uri,
        report_uri=update.report_uri,
        log_uri=update.log_uri,
        events=update.events,
        log_links=update.log_links,
        traceparent=active.assignment.traceparent if active.is_over else "",
    )
