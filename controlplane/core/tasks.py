"""Deployed tasks: a name with immutable versions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from controlplane.core.actions import Spec, TaskInfo
from controlplane.core.callers import Scopes
from controlplane.core.profiles import Profiles
from shared.model.ids import DomainName, ProjectName, RunName
from shared.model.phases import Phase


@dataclass(frozen=True, slots=True, order=True)
class TaskKey:
    """One version of a task, within one org."""

    project: ProjectName
    domain: DomainName
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """Request to deploy one version of a task."""

    key: TaskKey
    spec: Spec
    info: TaskInfo
    description: str = ""
    is_entrypoint: bool = False


@dataclass(frozen=True, slots=True)
class TriggersSummary:
    """The triggers of one version of a task; if there is one, its name and automation."""

    total: int
    active: int
    name: str
    automation: bytes  # flyteidl2.task.TriggerAutomationSpec


@dataclass(frozen=True, slots=True)
class LatestRun:
    """The newest run of a task, whichever version of it; tracked runs do not count."""

    run: RunName
    created_at: datetime
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One version of a task as lists show it."""

    key: TaskKey
    short_name: str
    task_type: str
    environment: str
    function: str
    description: str
    is_entrypoint: bool
    deployed_by: str
    deployed_at: datetime
    triggers: TriggersSummary | None = None  # None: it has none
    latest_run: LatestRun | None = None  # None: it has none, or the caller may read none


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetail:
    """One version of a task with its spec."""

    row: TaskRow
    spec: bytes  # flyteidl2.task.TaskSpec
    profiles: Profiles = field(default_factory=dict)  # of who deployed it


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of tasks, and the token of the next page ("" at the end)."""

    rows: Sequence[TaskRow]
    token: str
    profiles: Profiles = field(default_factory=dict)  # of who deployed them
    total: int = 0  # tasks in the scope
    filtered_total: int = 0  # those of them that pass the filters


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScope:
    """Selects tasks; an empty field matches any. ``within`` is as in RunScope."""

    project: str = ""
    domain: str = ""
    name: str = ""
    deployed_by: str = ""
    is_entrypoint: bool | None = None
    within: Scopes | None = None
