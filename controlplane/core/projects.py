"""Projects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from shared.model.ids import ProjectName


class ProjectState(IntEnum):
    """States of projects, with flyteidl2's numbers; UNKNOWN has none there."""

    UNKNOWN = -1  # read from a row that a later release wrote
    ACTIVE = 0
    ARCHIVED = 1
    SYSTEM_GENERATED = 2
    SYSTEM_ARCHIVED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project's names, labels and state."""

    id: ProjectName
    name: str  # for display
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: ProjectState = ProjectState.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRow:
    """A stored project."""

    project: Project
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """One page of projects, and the token of the next page ("" at the end)."""

    rows: Sequence[ProjectRow]
    token: str
