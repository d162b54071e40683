"""Scopes of what an org keeps for its runs: the org, a domain of it, a project in a domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from controlplane.core.errors import InvalidError
from controlplane.core.names import parse_domain, parse_project


class ScopeLevel(IntEnum):
    """Levels of scopes, broadest first, with flyteidl2's numbers."""

    ORG = 0
    DOMAIN = 1
    PROJECT = 2


@dataclass(frozen=True, slots=True)
class Scope:
    """The org (both ""), a domain of all projects, or a project in a domain."""

    domain: str = ""
    project: str = ""

    @property
    def level(self) -> ScopeLevel:
        if self.project:
            return ScopeLevel.PROJECT
        return ScopeLevel.DOMAIN if self.domain else ScopeLevel.ORG

    def __str__(self) -> str:
        if self.project:
            return f"project {self.project}, domain {self.domain}"
        return f"domain {self.domain}" if self.domain else "the org"


def list_scopes(narrowest: Scope) -> Sequence[Scope]:
    """Return the scopes that hold for ``narrowest``, broadest first: each overrides those before."""
    scopes = (Scope(), Scope(narrowest.domain), narrowest)
    return scopes[: narrowest.level + 1]


def parse_scope(domain: str, project: str, *, field: str, what: str) -> Scope:
    """Validate a scope; InvalidError names the message ``field``, and ``what`` has the scope."""
    if project and not domain:
        raise InvalidError(
            f"{field}.domain: {what} of a project names its domain too; add it, or leave out the"
            " project"
        )
    if project:
        parse_project(project)
    if domain:
        parse_domain(domain)
    return Scope(domain, project)
