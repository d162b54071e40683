"""Use cases of usage: sums and daily rows of what attempts used."""

from collections.abc import Collection, Sequence
from datetime import date

from controlplane.core import usage as rules
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError
from controlplane.core.names import parse_project
from controlplane.store.database import Database
from controlplane.store.resources import usage as store
from shared.kit.clock import Clock

MAX_ROWS = 1_000
DEFAULT_ROWS = 100


class UsageReader:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def summarise(
        self,
        caller: Caller,
        *,
        month: str,
        since: str,
        until: str,
        project: str,
        group_by: Collection[str],
        limit: int,
    ) -> rules.UsageSummary:
        """
        Sum the usage of a month, or of the days from ``since`` to ``until``; "" is this month.

        InvalidError names the field. A caller who may read one project only names it.
        """
        _authorize(caller, project)
        today = self._today()
        if month and (since or until):
            raise InvalidError("month: is set together with since or until; set one of them")
        first, last = (
            rules.parse_days(since, until, today)
            if since or until
            else rules.parse_month(month, today)
        )
        by = rules.parse_dimensions(group_by)
        if not 0 <= limit <= MAX_ROWS:
            raise InvalidError(f"limit: must be from 0 to {MAX_ROWS}, is {limit}")
        most = limit or DEFAULT_ROWS
        async with self._database.for_org(caller.org) as tx:
            total = await store.sum_usage(tx, first, last, project)
            rows = await store.summarise_usage(tx, first, last, project, by, most=most + 1)
        return rules.UsageSummary(
            since=first, until=last, total=total, rows=rows[:most], is_complete=len(rows) <= most
        )

    async def list(
        self, caller: Caller, *, month: str, project: str, limit: int, after: str
    ) -> tuple[Sequence[rules.UsageRow], str]:
        """List a month's usage by day and all other dimensions; the text is the next page's."""
        _authorize(caller, project)
        first, last = rules.parse_month(month, self._today())
        async with self._database.for_org(caller.org) as tx:
            rows = await store.list_usage(tx, first, last, project, after=after, most=limit + 1)
        return rows[:limit], store.token_of(rows[limit - 1]) if len(rows) > limit else ""

    def _today(self) -> date:
        return self._clock.now().date()


def _authorize(caller: Caller, project: str) -> None:
    caller.require(Permission.USAGE_READ, parse_project(project) if project else "")
