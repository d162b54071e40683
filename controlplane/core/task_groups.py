"""Groups of runs by task: what a dashboard shows of the runs of a project since some time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.core.actions import ActionRow
from shared.model.ids import DomainName, ProjectName, RunName
from shared.model.phases import Phase
from shared.model.reports import FailureKind

MOST_GROUPS = 1_000
"""Groups in the first list of a watch, the latest ones."""
MOST_RECENT = 10
"""Runs of a group that are shown one by one, the latest ones."""
MOST_CREATORS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupScope:
    """
    Selects the runs that are grouped: of a project and domain, created in a window.

    ``end``: exclusive; None for runs that are still to come.
    """

    project: ProjectName
    domain: DomainName
    start: datetime
    end: datetime | None = None

    def takes(self, root: ActionRow) -> bool:
        """Return whether a run may belong to a group; filters are not asked."""
        run = root.key.run
        return (
            (run.project, run.domain) == (self.project, self.domain)
            and root.created_at >= self.start
            and (self.end is None or root.created_at < self.end)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGroup:
    """The runs of one task in a window. Durations and times are of those that have them."""

    task_name: str
    environment: str = ""  # this and the next: of the latest run
    short_name: str = ""
    total: int = 0
    latest_at: datetime | None = None
    recent: Sequence[tuple[RunName, Phase]] = ()  # newest first
    phases: Mapping[Phase, int] = field(default_factory=dict)
    errors: Mapping[FailureKind, int] = field(default_factory=dict)  # of failed runs
    average_duration: timedelta | None = None  # of ended runs, from their creation
    average_time_to_running: timedelta | None = None
    latest_ended_at: datetime | None = None
    creators: Sequence[str] = ()

    @property
    def failure_rate(self) -> float:
        """Return the part of the runs that failed, from 0 to 1."""
        return self.phases.get(Phase.FAILED, 0) / self.total if self.total else 0.0


@dataclass(slots=True)
class SentGroups:
    """The groups that a watcher was sent, to send only what changed since."""

    _sent: dict[str, TaskGroup] = field(default_factory=dict)

    @property
    def names(self) -> Collection[str]:
        return self._sent.keys()

    def take_changed(
        self, looked_up: Iterable[str], found: Sequence[TaskGroup]
    ) -> tuple[Sequence[TaskGroup], Sequence[str]]:
        """
        Return the groups that differ from what was sent, and names of groups that have no runs.

        ``looked_up``: the names of tasks that were asked for; ``found``: the groups that they
        have now. Both count as sent afterwards.
        """
        changed = [group for group in found if self._sent.get(group.task_name) != group]
        self._sent.update((group.task_name, group) for group in changed)
        present = {group.task_name for group in found}
        gone = sorted({name for name in looked_up if name in self._sent} - present)
        for name in gone:
            del self._sent[name]
        return changed, gone
