"""
Typed identifiers; strings from requests are converted to them at the API boundary.

Users name things by keys (project, domain, run, action); internally an action has a UUID,
assigned once, so that names are resolved in one place only.
"""

from dataclasses import dataclass
from typing import NewType
from uuid import UUID

OrgName = NewType("OrgName", str)
ProjectName = NewType("ProjectName", str)
DomainName = NewType("DomainName", str)
RunName = NewType("RunName", str)
ActionName = NewType("ActionName", str)
ClusterName = NewType("ClusterName", str)

RunId = NewType("RunId", UUID)
"""A run is the action without a parent: its id is that action's id."""
ActionId = NewType("ActionId", UUID)
LeaseId = NewType("LeaseId", UUID)
"""The right to run one attempt; reports are accepted only with the current lease."""

Digest = NewType("Digest", bytes)
"""SHA-256 of a serialised TaskSpec or RunSpec, 32 bytes; the content is immutable."""

ROOT = ActionName("a0")
"""The name of every run's root action, fixed by the SDK."""


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """The name of a run as users see it, unique within one org."""

    project: ProjectName
    domain: DomainName
    name: RunName

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ActionKey:
    """The name of an action as users see it, unique within one org."""

    run: RunKey
    name: ActionName

    def __str__(self) -> str:
        return f"{self.run}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class AttemptId:
    """One attempt at one action; attempts count from 1."""

    action: ActionId
    number: int

    def __str__(self) -> str:
        return f"{self.action}-{self.number}"
