"""RunService's RPCs about runs: create, get, watch, list, abort."""

from collections.abc import AsyncIterator
from dataclasses import replace

from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    AbortRunResponse,
    CreateRunRequest,
    CreateRunResponse,
    GetRunDetailsRequest,
    GetRunDetailsResponse,
    ListRunsRequest,
    ListRunsResponse,
    WatchRunDetailsRequest,
    WatchRunDetailsResponse,
    WatchRunsRequest,
    WatchRunsResponse,
)

from controlplane.api.actions import MAX_REASON
from controlplane.api.convert import data as convert_data, keys, runs as convert
from controlplane.api.convert.lists import parse_listing
from controlplane.api.convert.strings import parse_text
from controlplane.api.run_actions import RunActions
from controlplane.api.streams import closing
from controlplane.core.callers import Caller
from controlplane.core.errors import UnbuiltError
from controlplane.core.projects import require_domain
from controlplane.usecases.actions import Actions
from controlplane.usecases.data import Data, InputsUpload
from controlplane.usecases.runs import Runs
from controlplane.usecases.tasks import Tasks
from shared.model.ids import RunKey


class RunService(RunActions):
    """``base`` is the storage prefix below which every org's data lies."""

    def __init__(
        self, *, runs: Runs, actions: Actions, tasks: Tasks, data: Data, base: str
    ) -> None:
        super().__init__(actions, data)
        self._runs = runs
        self._tasks = tasks
        self._base = base

    async def create_run(self, caller: Caller, request: CreateRunRequest) -> CreateRunResponse:
        key = convert.parse_run_key(request)
        require_domain(key.domain)
        task = await self._task(caller, request)
        await self._data.require_code(caller, convert_data.parse_code_bundle(task))
        new = convert.parse_new_run(request, key, task, org=caller.org, base=self._base)
        # Inputs are uploaded last: a request refused before leaves none behind.
        input_uri = await self._input_uri(caller, request, key, task)
        root = await self._runs.create(caller, replace(new, input_uri=input_uri))
        return CreateRunResponse(run=convert.render_run(root))

    async def abort_run(self, caller: Caller, request: AbortRunRequest) -> AbortRunResponse:
        reason = parse_text(request.reason, "reason", most=MAX_REASON)
        await self._runs.abort(caller, keys.parse_run(request.run_id), reason)
        return AbortRunResponse()

    async def get_run_details(
        self, caller: Caller, request: GetRunDetailsRequest
    ) -> GetRunDetailsResponse:
        detail = await self._runs.detail(caller, keys.parse_run(request.run_id))
        return GetRunDetailsResponse(details=convert.render_run_details(detail))

    async def watch_run_details(
        self, caller: Caller, request: WatchRunDetailsRequest
    ) -> AsyncIterator[WatchRunDetailsResponse]:
        run = keys.parse_run(request.run_id)
        async with closing(self._runs.watch_detail(caller, run)) as details:
            async for detail in details:
                yield WatchRunDetailsResponse(details=convert.render_run_details(detail))

    async def list_runs(self, caller: Caller, request: ListRunsRequest) -> ListRunsResponse:
        page = await self._runs.list(
            caller, convert.parse_scope(request), parse_listing(request.request)
        )
        return ListRunsResponse(
            runs=[convert.render_run(row) for row in page.rows], token=page.token
        )

    async def watch_runs(
        self, caller: Caller, request: WatchRunsRequest
    ) -> AsyncIterator[WatchRunsResponse]:
        scope = convert.parse_watch_scope(request)
        async with closing(self._runs.watch_many(caller, scope)) as pages:
            async for rows in pages:
                yield WatchRunsResponse(runs=[convert.render_run(row) for row in rows])

    async def _task(self, caller: Caller, request: CreateRunRequest) -> TaskSpec:
        match request.WhichOneof("task"):
            case "task_spec":
                return request.task_spec
            case "task_id":
                detail = await self._tasks.get(caller, keys.parse_task(request.task_id))
                return TaskSpec.FromString(detail.spec)
            case _:
                raise UnbuiltError(
                    "triggers are not served by this release; name the task in task_id instead"
                )

    async def _input_uri(
        self, caller: Caller, request: CreateRunRequest, key: RunKey, task: TaskSpec
    ) -> str:
        """Return the URI of the inputs, after uploading them if they came with the request."""
        if request.WhichOneof("input_wrapper") == "offloaded_input_data":
            return convert.parse_offloaded(request, caller.org, self._base)
        prepared = convert_data.prepare_inputs(request.inputs, task)
        upload = InputsUpload(
            project=key.project,
            domain=key.domain,
            body=prepared.body,
            base=request.run_spec.run_base_dir,
        )
        return await self._data.upload_inputs(caller, upload)
