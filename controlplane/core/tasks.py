"""Deployed tasks: a name, and versions of it that never change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.actions import Spec, TaskInfo
from shared.model.ids import DomainName, ProjectName


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
    key: TaskKey
    spec: Spec
    info: TaskInfo
    description: str = ""
    is_entrypoint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One version as lists show it."""

    key: TaskKey
    short_name: str
    task_type: str
    environment: str
    function: str
    description: str
    is_entrypoint: bool
    deployed_by: str
    deployed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetail:
    row: TaskRow
    spec: bytes  # flyteidl2.task.TaskSpec


@dataclass(frozen=True, slots=True)
class TaskPage:
    rows: Sequence[TaskRow]
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScope:
    """Which tasks; an empty word leaves it open."""

    project: str = ""
    domain: str = ""
    name: str = ""
    deployed_by: str = ""
    is_entrypoint: bool | None = None
