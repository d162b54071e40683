"""TaskService: deploys, gets and lists tasks."""

from flyteidl2.task.task_service_pb2 import (
    DeployTaskRequest,
    DeployTaskResponse,
    GetTaskDetailsRequest,
    GetTaskDetailsResponse,
    ListTasksRequest,
    ListTasksResponse,
    ListVersionsRequest,
    ListVersionsResponse,
)

from controlplane.api.convert import keys, tasks as convert
from controlplane.api.convert.data import parse_code_bundle
from controlplane.api.convert.lists import parse_listing
from controlplane.core.callers import Caller
from controlplane.usecases.data import Data
from controlplane.usecases.tasks import Tasks


class TaskService:
    def __init__(self, tasks: Tasks, data: Data) -> None:
        self._tasks = tasks
        self._data = data

    async def deploy_task(self, caller: Caller, request: DeployTaskRequest) -> DeployTaskResponse:
        new = convert.parse_deploy(request)
        await self._data.require_code(caller, parse_code_bundle(request.spec))
        await self._tasks.deploy(caller, new)
        return DeployTaskResponse()

    async def get_task_details(
        self, caller: Caller, request: GetTaskDetailsRequest
    ) -> GetTaskDetailsResponse:
        detail = await self._tasks.get(caller, keys.parse_task(request.task_id))
        return GetTaskDetailsResponse(details=convert.render_task_details(caller.org, detail))

    async def list_tasks(self, caller: Caller, request: ListTasksRequest) -> ListTasksResponse:
        page = await self._tasks.list_latest(
            caller, convert.parse_scope(request), parse_listing(request.request)
        )
        return ListTasksResponse(
            tasks=[convert.render_task(caller.org, row, page.profiles) for row in page.rows],
            token=page.token,
        )

    async def list_versions(
        self, caller: Caller, request: ListVersionsRequest
    ) -> ListVersionsResponse:
        page = await self._tasks.list_versions(
            caller, keys.parse_task_name(request.task_name), parse_listing(request.request)
        )
        return ListVersionsResponse(
            versions=[convert.render_version(row, page.profiles) for row in page.rows],
            token=page.token,
        )
