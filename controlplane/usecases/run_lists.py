"""Use cases of lists of runs: rows with the phases of their actions, and counts over time."""

from collections.abc import Sequence

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Listing
from controlplane.core.run_lists import (
    DEFAULT_BUCKETS,
    MAX_BUCKETS,
    RunFilter,
    RunRow,
    RunSummary,
    period_of,
)
from controlplane.core.runs import RunScope
from controlplane.store.database import Database
from controlplane.store.resources import lists, run_lists as store
from shared.kit.clock import Clock


class RunLists:
    """Use cases of lists; a project that the caller may not read does not exist for it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(
        self, caller: Caller, chosen: RunFilter, *, limit: int, token: str
    ) -> tuple[Sequence[RunRow], str]:
        """List runs, the newest first, and return where the next page begins."""
        scope = _scope(caller, chosen)
        listing = Listing(filters=chosen.conditions(), limit=limit, token=token)
        async with self._database.for_org(caller.org) as tx:
            page = await lists.list_runs(tx, scope, listing)
            return await store.add_actions(tx, page.rows), page.token

    async def summarize(self, caller: Caller, chosen: RunFilter, *, buckets: int) -> RunSummary:
        """Count runs in ``buckets`` (0: by default) of the filter's period; InvalidError."""
        scope = _scope(caller, chosen)
        if not 0 <= buckets <= MAX_BUCKETS:
            raise InvalidError(f"buckets: must be from 0 to {MAX_BUCKETS}, is {buckets}")
        since, until = period_of(chosen, self._clock.now())
        async with self._database.for_org(caller.org) as tx:
            return await store.summarize_runs(
                tx,
                scope,
                chosen.conditions(),
                since=since,
                until=until,
                buckets=buckets or DEFAULT_BUCKETS,
            )


def _scope(caller: Caller, chosen: RunFilter) -> RunScope:
    if chosen.domain and chosen.project:
        caller.require(Permission.RUN_READ, chosen.project, chosen.domain)
    elif chosen.project:
        caller.require_part(Permission.RUN_READ, chosen.project)
    return RunScope(
        project=chosen.project,
        domain=chosen.domain,
        task_name=chosen.task,
        within=caller.list_scopes(Permission.RUN_READ),
    )
