"""Use cases of deployed tasks: deploy, read and list them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import AlreadyExistsError, NotFoundError, NotReadyError
from controlplane.core.lists import Listing
from controlplane.core.projects import ProjectState
from controlplane.core.tasks import NewTask, TaskDetail, TaskKey, TaskPage, TaskRow, TaskScope
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity.profiles import find_profiles
from controlplane.store.resources import projects as project_store, tasks as store
from controlplane.store.resources.domains import require_domain
from shared.kit.clock import Clock
from shared.model.ids import DomainName, ProjectName


class Tasks:
    """Use cases of deployed tasks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def deploy(
        self,
        caller: Caller,
        new: NewTask,
        *,
        also: Callable[[OrgTx], Awaitable[None]] | None = None,
    ) -> None:
        """
        Deploy a version; idempotent. AlreadyExistsError when its spec differs.

        ``also`` is done in the same transaction.
        """
        caller.require(Permission.TASK_DEPLOY, new.key.project, new.key.domain)
        async with self._database.for_org(caller.org) as tx:
            await require_domain(tx, new.key.domain)
            await require_project(tx, new.key.project)
            kept = await store.deploy_task(tx, new, by=caller.subject, now=self._clock.now())
            if kept != new.spec.digest:
                raise AlreadyExistsError(
                    f"task {new.key} is deployed with another spec, which is kept; "
                    "deploy the new one under a new version"
                )
            if also is not None:
                await also(tx)

    async def get(self, caller: Caller, key: TaskKey) -> TaskDetail:
        """Return one version of a task; NotFoundError."""
        caller.require(Permission.TASK_READ, key.project, key.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_task(tx, key)
            if found is None:
                raise NotFoundError("task", key)
            return replace(found, profiles=await find_profiles(tx, [found.row.deployed_by]))

    async def get_spec(
        self, caller: Caller, project: ProjectName, domain: DomainName, name: str, version: str
    ) -> bytes:
        """Return the spec of one version of a task; NotFoundError."""
        return (await self.get(caller, TaskKey(project, domain, name, version))).spec

    async def list_latest(self, caller: Caller, scope: TaskScope, listing: Listing) -> TaskPage:
        """List the latest version of each task."""
        scope = replace(scope, within=caller.list_scopes(Permission.TASK_READ))
        async with self._database.for_org(caller.org) as tx:
            found = await _with_profiles(tx, await store.list_tasks(tx, scope, listing))
        return replace(found, rows=[_as_seen_by(caller, row) for row in found.rows])

    async def list_versions(self, caller: Caller, scope: TaskScope, listing: Listing) -> TaskPage:
        """List the versions of one task; NotFoundError when it has none."""
        scope = replace(scope, within=caller.list_scopes(Permission.TASK_READ))
        async with self._database.for_org(caller.org) as tx:
            found = await _with_profiles(tx, await store.list_versions(tx, scope, listing))
        if not found.rows and not listing.filters and not listing.token:
            raise NotFoundError("task", f"{scope.project}/{scope.domain}/{scope.name}")
        return replace(found, rows=[_as_seen_by(caller, row) for row in found.rows])


def _as_seen_by(caller: Caller, row: TaskRow) -> TaskRow:
    """Return the task without its latest run, if the caller may not read runs there."""
    may = row.latest_run is None or caller.may(Permission.RUN_READ, row.key.project, row.key.domain)
    return row if may else replace(row, latest_run=None)


async def _with_profiles(tx: OrgTx, page: TaskPage) -> TaskPage:
    return replace(page, profiles=await find_profiles(tx, (row.deployed_by for row in page.rows)))


async def require_project(tx: OrgTx, name: ProjectName) -> None:
    """Raise unless a project exists (NotFoundError) and is active (NotReadyError)."""
    project = await project_store.find_project(tx, name)
    if project is None:
        raise NotFoundError("project", name)
    if project.project.state is ProjectState.ARCHIVED:
        raise NotReadyError(f"project {name} is archived; make it active first")
