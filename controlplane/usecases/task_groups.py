"""Use case of a project's runs grouped by task: the groups now, and those that change."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from controlplane.core.callers import Caller, Permission
from controlplane.core.lists import Filter
from controlplane.core.task_groups import MOST_GROUPS, GroupScope, SentGroups, TaskGroup
from controlplane.feeds.feeds import Feeds
from controlplane.store.database import Database
from controlplane.store.resources.actions import list_roots
from controlplane.store.resources.task_groups import list_groups
from shared.model.ids import ActionId

MOST_REMEMBERED = 10_000
"""Roots of which a watch remembers the last change; past that it may group some runs once more."""
INTERVAL = timedelta(seconds=1)
"""Least time between two looks at changed groups: each groups all their runs again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsUpdate:
    """Groups to show, and names of tasks whose group is to be removed."""

    groups: Sequence[TaskGroup]
    gone: Sequence[str] = ()
    is_first: bool = False  # the whole list, after which only changes come


class TaskGroups:
    """Use cases of groups of runs."""

    def __init__(self, database: Database, feeds: Feeds) -> None:
        self._database = database
        self._feeds = feeds

    async def watch(
        self,
        caller: Caller,
        scope: GroupScope,
        filters: Sequence[Filter],
        *,
        ascending: bool = False,
        most: int = MOST_GROUPS,
    ) -> AsyncIterator[GroupsUpdate]:
        """
        Yield the groups of a scope, then those that change, until cancelled.

        A scope with an end is yielded once. ``most``: groups in the first list, by their latest
        run; a group that changes later is sent in any case. NotFoundError: a project that the caller
        may not see.
        """
        caller.require(Permission.RUN_READ, scope.project, scope.domain)
        sent = SentGroups()
        seen: dict[ActionId, int] = {}  # the last change of each root, as its children change more
        with self._feeds.runs(caller.org) as changes:
            async with self._feeds.opening():
                async with self._database.for_org(caller.org) as tx:
                    found = await list_groups(tx, scope, filters, ascending=ascending, most=most)
                sent.take_changed((), found)
                yield GroupsUpdate(groups=found, is_first=True)
            while scope.end is None:
                await asyncio.sleep(INTERVAL.total_seconds())
                changed = await changes.take()
                async with self._database.for_org(caller.org) as tx:
                    tasks = set(sent.names)
                    if changed is not None:  # None: too many to name them, so all groups
                        roots = await list_roots(tx, changed)
                        of_runs = {
                            root.info.name
                            for root in roots
                            if scope.takes(root) and seen.get(root.id) != root.change
                        }
                        if len(seen) > MOST_REMEMBERED:
                            seen.clear()
                        seen.update((root.id, root.change) for root in roots)
                        was_deleted = len(roots) < len(changed)
                        tasks = tasks | of_runs if was_deleted else of_runs
                        if not tasks:
                            continue
                    at_most = max(MOST_GROUPS, len(tasks))
                    found = await list_groups(
                        tx,
                        scope,
                        filters,
                        tasks=None if changed is None else tasks,
                        most=at_most,
                    )
                is_whole = changed is not None or len(found) < at_most
                groups, gone = sent.take_changed(tasks if is_whole else (), found)
                if groups or gone:
                    yield GroupsUpdate(groups=groups, gone=gone)
