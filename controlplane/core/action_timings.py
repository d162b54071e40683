"""Timestamps and events of an action, from which ``explanations`` derives its reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.actions import ActionType
from controlplane.core.caching import CacheSource
from controlplane.core.pending_reasons import BlockedKind, BlockedScope, PastPendingReason
from shared.model.ids import ActionKey
from shared.model.phases import Phase
from shared.model.reports import Failure

MOST_AHEAD = 1_000
"""Actions ahead are counted up to this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedEvent:
    """An event of an attempt that its agent reported."""

    at: datetime
    phase: Phase
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedLease:
    """A lease that no agent accepted."""

    cluster: str
    leased_at: datetime
    returned_at: datetime


MOST_REFUSED = 10
"""Refused reports of an attempt that are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedReport:
    """A report that changed nothing, because its lease was not the attempt's current one."""

    attempt: int
    cluster: str  # that sent it
    lease: str
    phase: Phase  # that it reported
    refused_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTimings:
    """Timestamps and events of one attempt."""

    number: int
    cluster: str
    available_at: datetime
    leased_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None
    failure: Failure | None = None
    reported: Sequence[ReportedEvent] = ()
    returned: Sequence[ReturnedLease] = ()
    refused: Sequence[RefusedReport] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchTimings:
    """Dispatch row of an action that has not ended."""

    action: ActionKey
    phase: Phase
    attempt: int
    is_root: bool
    pool: str
    queue: str
    run: str  # its id
    available_at: datetime
    cluster: str | None = None  # that leased it; None: it waits
    leased_at: datetime | None = None
    accepted_at: datetime | None = None
    stop_at: datetime | None = None
    stop_reason: str | None = None
    reported: ReportedEvent | None = None  # the latest of this attempt

    def blocked_scopes(self) -> Sequence[BlockedScope]:
        """Return the scopes whose pending reasons apply to it while it waits."""
        return blocked_scopes(pool=self.pool, queue=self.queue, run=self.run, is_root=self.is_root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Counts the actions dispatched before this one, each up to ``MOST_AHEAD``."""

    of_higher_priority: int
    of_its_run: int
    beside_it: int  # of other runs, with the same priority


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTimings:
    """All timestamps and events of one action."""

    action: ActionKey
    type: ActionType
    phase: Phase
    created_at: datetime
    ended_at: datetime | None
    failure: Failure | None = None
    abort_reason: str = ""
    aborted_by: str = ""
    is_root: bool
    pool: str
    queue: str
    run: str  # its id
    attempts: Sequence[AttemptTimings] = ()
    dispatch: DispatchTimings | None = None
    past: Sequence[PastPendingReason] = ()
    waits_for: ActionKey | None = None  # the equal action that runs first
    cached_from: CacheSource | None = None
    is_tracked: bool = False  # its program runs it, and reports it

    def list_refused(self) -> Sequence[RefusedReport]:
        """Return the latest refused reports of its attempts, at most MOST_REFUSED, oldest first."""
        return [each for attempt in self.attempts for each in attempt.refused][-MOST_REFUSED:]


def blocked_scopes(*, pool: str, queue: str, run: str, is_root: bool) -> Sequence[BlockedScope]:
    """Return the scopes whose pending reasons apply to an action with these attributes."""
    own_scope = (
        BlockedScope(BlockedKind.QUEUE_RUNS, queue)
        if is_root
        else BlockedScope(BlockedKind.RUN, run)
    )
    return (
        BlockedScope(BlockedKind.POOL, pool),
        BlockedScope(BlockedKind.QUEUE, queue),
        BlockedScope(BlockedKind.WHOLE_RUN, run),
        own_scope,
    )
