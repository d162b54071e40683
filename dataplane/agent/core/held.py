"""
An attempt the agent has accepted and the control plane has not yet settled.

Versions count the attempt's reports from 1 without gaps; only :func:`draw_up` gives one
out. What the phase table forbids is not reported at all, and a phase that is known already
only with another reason: every pending second is to be explained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dataplane.agent.core.messages import Lease
from shared.model.assignments import Assignment
from shared.model.phases import NEXT, TERMINAL, Phase
from shared.model.reports import ClusterEvent, Failure, LogLink, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
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
class News:
    """What there is to say of an attempt; a report but for its key."""

    phase: Phase
    reason: str = ""
    message: str = ""
    failure: Failure | None = None
    output_uri: str = ""
    report_uri: str = ""
    log_uri: str = ""
    events: Sequence[ClusterEvent] = ()
    log_links: Sequence[LogLink] = ()


def draw_up(held: Held, news: News, at: datetime) -> tuple[Held, Report | None]:
    """Return the next report, or None where it is known or can no longer follow."""
    explains = (
        news.phase is held.phase and not held.is_over and news.reason not in ("", held.reason)
    )
    if news.phase not in NEXT[held.phase] and not explains:
        return held, None
    held = replace(held, version=held.version + 1, phase=news.phase, reason=news.reason)
    return held, Report(
        attempt=held.assignment.attempt,
        lease=held.assignment.lease,
        version=held.version,
        phase=news.phase,
        at=at,
        reason=news.reason,
        message=news.message,
        failure=news.failure,
        output_uri=news.output_uri,
        report_uri=news.report_uri,
        log_uri=news.log_uri,
        events=news.events,
        log_links=news.log_links,
    )
