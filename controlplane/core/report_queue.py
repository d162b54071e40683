"""Queue of one agent session's reports and acceptances until they are committed."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from shared.model.ids import AttemptId, LeaseId
from shared.model.link_messages import Lease
from shared.model.reports import Report

MAX_UNCOMMITTED = 5_000
"""Reports and acceptances read and not committed; past that the session reads no frame."""
REPORTS_PER_COMMIT = 500
LOCK_RETRY = timedelta(milliseconds=100)  # when reports wait for a locked run
POLL_INTERVAL = timedelta(seconds=15)  # when nothing waits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Commit:
    """Acceptances and reports to commit in one transaction."""

    accepted: Sequence[tuple[AttemptId, LeaseId]]
    reports: Sequence[Report]


@dataclass(slots=True)
class ReportQueue:
    _accepted: deque[tuple[AttemptId, LeaseId]] = field(default_factory=deque)
    _reports: deque[Report] = field(default_factory=deque)
    _locked: Sequence[Report] = ()  # reports on runs that another transaction holds
    _committing: int = 0

    @property
    def is_full(self) -> bool:
        """Whether to read no frame until something is committed; gRPC then blocks the agent."""
        waiting = len(self._reports) + len(self._accepted) + len(self._locked)
        return waiting + self._committing > MAX_UNCOMMITTED

    @property
    def has_new(self) -> bool:
        """Whether reports or acceptances wait that no commit has included yet."""
        return bool(self._accepted or self._reports)

    @property
    def pause(self) -> timedelta:
        """Return how long to wait for new reports before the next commit."""
        return LOCK_RETRY if self._locked else POLL_INTERVAL

    def accept(self, leases: Iterable[Lease]) -> None:
        self._accepted.extend((lease.attempt, lease.id) for lease in leases)

    def report(self, reports: Iterable[Report]) -> None:
        self._reports.extend(reports)

    def next_commit(self) -> Commit | None:
        """
        Take what to commit next; None if nothing waits. :meth:`committed` ends the commit.

        Locked reports go first, so that no report overtakes an earlier one.
        """
        if not (self.has_new or self._locked):
            return None
        accepted = _take(self._accepted, len(self._accepted))
        reports = [*self._locked, *_take(self._reports, REPORTS_PER_COMMIT)]
        self._locked = ()
        self._committing = len(accepted) + len(reports)
        return Commit(accepted, reports)

    def committed(self, locked: Sequence[Report]) -> None:
        """End a commit; ``locked`` are its reports that have to be committed again."""
        self._committing = 0
        self._locked = locked


def _take(waiting: deque[T], most: int) -> list[T]:
    return [waiting.popleft() for _ in range(min(len(waiting), most))]
