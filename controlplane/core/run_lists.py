"""Rows of a list of runs, and counts of runs over time. PURE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.core.actions import ActionRow
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Test
from controlplane.core.run_states import NO_MARKS, RunMarks
from shared.model.ids import ActionName
from shared.model.phases import Phase
from shared.model.reports import Failure

MOST_COUNTED = 1_000
"""Actions of a run that a row counts."""
MOST_SUMMARIZED = 50_000
"""Runs that a summary counts, the newest."""
MAX_BUCKETS = 500
DEFAULT_BUCKETS = 48
_MAX_PERIOD = timedelta(days=3660)

PhaseCounts = Mapping[Phase, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Selects runs, by conditions joined by AND; what is empty or None matches all."""

    project: str = ""
    domain: str = ""
    task: str = ""
    phases: frozenset[Phase] = frozenset()
    created_by: str = ""
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    archived: bool | None = None

    def conditions(self) -> Sequence[Filter]:
        """Return the filters of the list of runs that project, domain and task do not cover."""
        found = [Filter(f"labels.{key}", Test.EQUAL, [value]) for key, value in self.labels.items()]
        if self.phases:
            found.append(Filter("phase", Test.IN, [phase.name for phase in sorted(self.phases)]))
        if self.created_by:
            found.append(Filter("created_by", Test.EQUAL, [self.created_by]))
        if self.text:
            found.append(Filter("run_name", Test.CONTAINS_CASE_INSENSITIVE, [self.text]))
        if self.archived is not None:
            found.append(Filter("archived", Test.EQUAL, [str(self.archived).lower()]))
        if self.since is not None:
            found.append(Filter("created_at", Test.GREATER_OR_EQUAL, [self.since.isoformat()]))
        if self.until is not None:
            found.append(Filter("created_at", Test.LESS, [self.until.isoformat()]))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run's root with the phases of its actions; ``partial``: of the first MOST_COUNTED only."""

    root: ActionRow
    phases: PhaseCounts
    partial: bool
    failed: ActionName | None = None  # the first action that failed
    failure: Failure | None = None
    marks: RunMarks = NO_MARKS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """
    Counts of runs by phase in buckets of equal length from ``since`` to ``until``.

    ``counted_since``: the oldest run that was counted, if there were more than MOST_SUMMARIZED.
    """

    since: datetime
    until: datetime
    buckets: Sequence[PhaseCounts]
    counted_since: datetime | None = None

    @property
    def phases(self) -> PhaseCounts:
        """Return the counts of all buckets together."""
        sums: dict[Phase, int] = {}
        for bucket in self.buckets:
            for phase, count in bucket.items():
                sums[phase] = sums.get(phase, 0) + count
        return sums


def period_of(chosen: RunFilter, now: datetime) -> tuple[datetime, datetime]:
    """Return the period of a summary, by default until now; InvalidError."""
    if chosen.since is None:
        raise InvalidError("filter.since: is required; name the beginning of the first bucket")
    until = now if chosen.until is None else chosen.until
    if not timedelta() < until - chosen.since <= _MAX_PERIOD:
        raise InvalidError(f"filter.until: must be after since, by at most {_MAX_PERIOD.days} days")
    return chosen.since, until
