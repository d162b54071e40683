"""ProjectService: creates, updates, gets and lists projects."""

from flyteidl2.project.project_service_pb2 import (
    CreateProjectRequest,
    CreateProjectResponse,
    GetProjectRequest,
    GetProjectResponse,
    ListProjectsRequest,
    ListProjectsResponse,
    Projects as ProjectsMessage,
    UpdateProjectRequest,
    UpdateProjectResponse,
)

from controlplane.api.convert import projects as convert
from controlplane.api.convert.lists import (
    parse_limit,
    parse_order,
    parse_string_filters,
    parse_token,
)
from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.lists import Listing
from controlplane.usecases.domains import Domains
from controlplane.usecases.projects import Projects


class ProjectService:
    def __init__(self, projects: Projects, domains: Domains) -> None:
        self._projects = projects
        self._domains = domains

    async def create_project(
        self, caller: Caller, request: CreateProjectRequest
    ) -> CreateProjectResponse:
        await self._projects.create(caller, convert.parse_project(request.project))
        return CreateProjectResponse()

    async def update_project(
        self, caller: Caller, request: UpdateProjectRequest
    ) -> UpdateProjectResponse:
        await self._projects.update(caller, convert.parse_project(request.project))
        return UpdateProjectResponse()

    async def get_project(self, caller: Caller, request: GetProjectRequest) -> GetProjectResponse:
        row = await self._projects.get(caller, names.parse_project(request.id))
        domains = await self._domains.list(caller)
        return GetProjectResponse(project=convert.render_project(caller.org, row, domains))

    async def list_projects(
        self, caller: Caller, request: ListProjectsRequest
    ) -> ListProjectsResponse:
        listing = Listing(
            filters=parse_string_filters(request.filters),
            orders=[parse_order(request.sort_by)] if request.sort_by.key else [],
            limit=parse_limit(request.limit),
            token=parse_token(request.token),
        )
        page = await self._projects.list(caller, listing)
        domains = await self._domains.list(caller)
        return ListProjectsResponse(
            projects=ProjectsMessage(
                projects=[convert.render_project(caller.org, row, domains) for row in page.rows],
                token=page.token,
            )
        )
