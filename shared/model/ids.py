"""
Identifiers. A string becomes one of these at the door and stays one inside.

People name things by keys (project, domain, run, action); inside, an action is a UUID
given out once, so that a name can be looked up in one place and nowhere else.
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
"""The right to run one attempt; whoever reports must hold the current one."""

Digest = NewType("Digest", bytes)
"""SHA-256 of a serialised TaskSpec or RunSpec, 32 bytes; what it names never changes."""

ROOT = ActionName("a0")
"""The name of every run's root action, fixed by the SDK."""


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """A run as people name it, within one org."""

    project: ProjectName
    domain: DomainName
    name: RunName

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ActionKey:
    """An action as people name it, within one org."""

    run: RunKey
    name: ActionName

    def __str__(self) -> str:
        return f"{self.run}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class AttemptId:
    """One try at one action; attempts count from 1."""

    action: ActionId
    number: int

    def __str__(self) -> str:
        return f"{self.action}-{self.number}"
