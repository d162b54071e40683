"""Use cases of projects: create, update, read and list them."""

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import AlreadyExistsError, NotFoundError
from controlplane.core.lists import Listing
from controlplane.core.projects import Project, ProjectPage, ProjectRow
from controlplane.store.database import Database
from controlplane.store.resources import projects as store
from controlplane.store.resources.domains import require_domain
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import DomainName, ProjectName


class Projects:
    """Use cases of projects."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, caller: Caller, project: Project) -> None:
        """Create a project; AlreadyExistsError when the id is taken."""
        caller.require(Permission.PROJECT_WRITE)
        async with self._database.for_org(caller.org) as tx:
            if not await store.create_project(tx, project, now=self._clock.now()):
                raise AlreadyExistsError(
                    f"project {project.id} exists; update it or choose another id"
                )
            await record(tx, self._clock, caller, "project.create", f"project:{project.id}")

    async def update(self, caller: Caller, project: Project) -> None:
        """Overwrite a project's name, description, labels and state (archiving is a state)."""
        caller.require(Permission.PROJECT_WRITE, project.id)
        async with self._database.for_org(caller.org) as tx:
            if not await store.update_project(tx, project, now=self._clock.now()):
                raise NotFoundError("project", project.id)
            detail = {"state": project.state.name.lower()}
            target = f"project:{project.id}"
            await record(tx, self._clock, caller, "project.update", target, detail=detail)

    async def get(self, caller: Caller, project: ProjectName) -> ProjectRow:
        """Return a project to those who may read one of its domains; NotFoundError."""
        caller.require_part(Permission.PROJECT_READ, project)
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_project(tx, project)
        if found is None:
            raise NotFoundError("project", project)
        return found

    async def list(self, caller: Caller, listing: Listing) -> ProjectPage:
        """List the caller's projects; archived ones only when a filter names the state."""
        scopes = caller.list_scopes(Permission.PROJECT_READ)
        hide_archived = all(condition.field != "state" for condition in listing.filters)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_projects(
                tx, listing, hide_archived=hide_archived, scopes=scopes
            )

    async def require(self, caller: Caller, project: ProjectName, domain: DomainName) -> None:
        """Raise NotFoundError unless the project exists and has the domain."""
        await self.get(caller, project)
        async with self._database.for_org(caller.org) as tx:
            await require_domain(tx, domain)
