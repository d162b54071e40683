"""Use case of search: find what the caller may see by a part of its name."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import search as store
from shared.model.ids import DomainName, ProjectName

MAX_TEXT = 200
MAX_FOUND = 50
"""Of each kind."""


class FoundKind(StrEnum):
    """Kinds of things with a page of their own."""

    CLUSTER = "cluster"
    PROJECT = "project"
    RUN = "run"
    TASK = "task"
    TRIGGER = "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    kind: FoundKind
    name: str
    project: str = ""  # of what belongs to one
    domain: str = ""
    task: str = ""  # of a trigger
    title: str = ""  # of a project


class Search:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self,
        caller: Caller,
        text: str,
        *,
        scope: tuple[ProjectName, DomainName] | None,
        limit: int,
    ) -> Sequence[Found]:
        """
        Find things by a part of their name, without regard to case; ``limit`` of each kind.

        ``scope``: the project and domain of runs, tasks and triggers; None leaves those out. What the
        caller may not read is left out. InvalidError.
        """
        text = text.strip().lower()
        if not text or len(text) > MAX_TEXT:
            raise InvalidError(f"text: send 1 to {MAX_TEXT} characters of a name")
        if not 1 <= limit <= MAX_FOUND:
            raise InvalidError(f"limit: ask for 1 to {MAX_FOUND} of each kind")
        async with self._database.for_org(caller.org) as tx:
            found = [] if scope is None else await _find_in(tx, caller, scope, text, limit)
            if caller.may(Permission.CLUSTER_READ):
                clusters = await store.find_clusters(tx, text, limit)
                found += [Found(kind=FoundKind.CLUSTER, name=name) for name in clusters]
            projects = [
                Found(kind=FoundKind.PROJECT, name=name, title=title)
                for name, title in await store.find_projects(tx, text)
                if _may_see(caller, name)
            ]
        return [*found, *projects[:limit]]


async def _find_in(
    tx: OrgTx, caller: Caller, scope: tuple[ProjectName, DomainName], text: str, limit: int
) -> list[Found]:
    project, domain = scope

    def make(kind: FoundKind, name: str, task: str = "") -> Found:
        return Found(kind=kind, name=name, project=project, domain=domain, task=task)

    found: list[Found] = []
    if caller.may(Permission.RUN_READ, project, domain):
        runs = await store.find_runs(tx, project, domain, text, limit)
        found += [make(FoundKind.RUN, name) for name, _ in runs]
    if caller.may(Permission.TASK_READ, project, domain):
        tasks = await store.find_tasks(tx, project, domain, text, limit)
        found += [make(FoundKind.TASK, name) for name in tasks]
        triggers = await store.find_triggers(tx, project, domain, text, limit)
        found += [make(FoundKind.TRIGGER, name, task) for task, name in triggers]
    return found


def _may_see(caller: Caller, project: ProjectName) -> bool:
    scopes = caller.list_scopes(Permission.PROJECT_READ)
    return scopes is None or any(name == project for name, _ in scopes)
