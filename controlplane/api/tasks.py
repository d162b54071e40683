"""TaskService: deploys, gets and lists tasks."""

from functools import partial

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
from controlplane.api.convert.triggers import parse_of_task
from controlplane.core.callers import Caller
from controlplane.usecases.data import Data
from controlplane.usecases.tasks import Tasks
from controlplane.usecases.triggers import Triggers
from shared.kit.clock import Clock


class TaskService:
    """``base`` is the storage prefix below which every org's data lies."""

    def __init__(
        self, tasks: Tasks, triggers: Triggers, data: Data, *, base: str, clock: Clock
    ) -> None:
        self._tasks = tasks
        self._triggers = triggers
        self._data = data
        self._base = base
        self._clock = clock

    async def deploy_task(self, caller: Caller, request: DeployTaskRequest) -> DeployTaskResponse:
        new = convert.parse_deploy(request)
        parse = partial(
            parse_of_task, request, org=caller.org, base=self._base, now=self._clock.now()
        )
        await self._data.require_code(caller, parse_code_bundle(request.spec))
        await self._triggers.deploy_task(caller, new, parse if request.triggers else None)
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
            metadata=ListTasksResponse.ListTasksMetadata(
                total=page.total, filtered_total=page.filtered_total
            ),
        )

    async def list_versions(
        self, caller: Caller, request: ListVersionsRequest
    ) -> ListVersionsResponse:
        page = await self._tasks.list_versions(
            caller, keys.parse_task_name(request.task_name), parse_listing(request.request)
        )
        return ListVersionsResponse(
            versions=[convert.render_version(caller.org, row, page.profiles) for row in page.rows],
            token=page.token,
        )
