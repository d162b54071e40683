"""Use cases of quotas: read and change the limits of the org and of its projects."""

import logging
from collections.abc import Mapping, Sequence

from controlplane.core import quotas as rules
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import NotAllowedError, NotFoundError
from controlplane.core.identity import OPERATOR, require_version
from controlplane.core.names import parse_project
from controlplane.core.quotas import Limit, Quota, QuotaStatus
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import quotas as store
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock

log = logging.getLogger(__name__)


class Quotas:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, caller: Caller, project: str) -> QuotaStatus:
        """Return the quota of a project, or of the org (""), with its use; without limits if none was set."""
        caller.require(Permission.QUOTA_READ, parse_project(project) if project else "")
        async with self._database.for_org(caller.org) as tx:
            await _require_project(tx, project)
            return await store.find_status(tx, project, self._clock.now())

    async def list(
        self, caller: Caller, *, limit: int, after: str
    ) -> tuple[Sequence[QuotaStatus], str]:
        """List the org's quota, and those that projects have; the text is the next page's."""
        caller.require(Permission.QUOTA_READ)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            first = [] if after else [await store.find_status(tx, "", now)]
            rest = await store.list_statuses(
                tx, past=after.removeprefix("/"), most=limit + 1 - len(first), now=now
            )
        found = [*first, *rest]
        # The org comes first, and its project is "", which would be the end of the list.
        return found[:limit], f"/{found[limit - 1].quota.project}" if len(found) > limit else ""

    async def update(
        self,
        caller: Caller,
        project: str,
        changes: Mapping[Limit, int],
        *,
        version: int | None = None,
    ) -> QuotaStatus:
        """
        Change limits; those of the org are the operator's.

        InvalidError, NotFoundError (project), NotAllowedError, ConflictError (a stale ``version``).
        """
        caller.require(Permission.QUOTA_WRITE, parse_project(project) if project else "")
        if not project and not caller.subject.startswith(OPERATOR):
            raise NotAllowedError(
                f"the quota of org {caller.org} is set by the operator, with `volary quota set` on"
                " the database; you may set those of its projects"
            )
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            await store.lock_quotas(tx)
            await _require_project(tx, project)
            known = await store.find_quotas(tx, "", project)
            before = known.get(project, Quota(project=project))
            place = rules.describe_place(caller.org, project)
            require_version(f"the quota of {place}", before.version, version)
            changed = rules.change_quota(before, changes, known.get("", Quota()))
            if changed != before:
                await store.save_quota(tx, changed, now)
                await record(
                    tx,
                    self._clock,
                    caller,
                    "quota.set",
                    f"quota:{project or caller.org}",
                    detail={str(limit): str(value) for limit, value in changes.items()},
                )
            status = await store.find_status(tx, project, now)
        log.info("quota set", extra={"project": project, "by": caller.subject})
        return status


async def require_triggers(tx: OrgTx, project: str, added: int) -> None:
    """
    Raise QuotaExceededError if the org or the project may not have ``added`` more triggers.

    Deployments of two tasks at once may exceed the quota by what one of them adds.
    """
    for used in await store.list_trigger_limits(tx, project):
        if used.triggers + added > used.quota.triggers:
            place = rules.describe_place(tx.org, used.quota.project)
            raise rules.exceeded(Limit.TRIGGERS, place, used.quota.triggers, used.triggers)


async def _require_project(tx: OrgTx, project: str) -> None:
    if project and not await store.has_project(tx, project):
        raise NotFoundError("project", project)
