"""DataProxyService: files, inputs, outputs, reports, code and logs."""

from collections.abc import AsyncIterator
from typing import Protocol

from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    ArtifactType,
    CreateDownloadLinkRequest,
    CreateDownloadLinkResponse,
    CreateUploadLocationRequest,
    CreateUploadLocationResponse,
    GetActionDataRequest,
    GetActionDataResponse,
    TailLogsRequest,
    TailLogsResponse,
    UploadInputsRequest,
    UploadInputsResponse,
)
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec

from controlplane.api.convert import data as convert
from controlplane.core.callers import Caller
from controlplane.core.errors import UnbuiltError
from controlplane.usecases.data import Data
from shared.model.ids import DomainName, ProjectName


class Tasks(Protocol):
    """What we ask of ``usecases.tasks``."""

    async def get_spec(
        self, caller: Caller, project: ProjectName, domain: DomainName, name: str, version: str
    ) -> bytes:
        """Return the deployed task's TaskSpec, or raise NotFoundError."""
        ...


class DataProxyService:
    def __init__(self, data: Data, tasks: Tasks) -> None:
        self._data = data
        self._tasks = tasks

    async def create_upload_location(
        self, caller: Caller, request: CreateUploadLocationRequest
    ) -> CreateUploadLocationResponse:
        location = await self._data.create_upload(caller, convert.parse_upload(request))
        return convert.render_upload(location)

    async def upload_inputs(
        self, caller: Caller, request: UploadInputsRequest
    ) -> UploadInputsResponse:
        spec = await self._spec(caller, request)
        prepared = convert.prepare_inputs(request.inputs, spec)
        uri = await self._data.upload_inputs(
            caller, convert.parse_inputs_upload(request, prepared.body)
        )
        return convert.render_uploaded_inputs(uri, prepared)

    async def create_download_link(
        self, caller: Caller, request: CreateDownloadLinkRequest
    ) -> CreateDownloadLinkResponse:
        expires_in = convert.parse_life(request.expires_in)
        source = request.WhichOneof("source")
        key = convert.parse_action_key(request.action_attempt_id.action_id)
        attempt = request.action_attempt_id.attempt
        match request.artifact_type, source:
            case (ArtifactType.ARTIFACT_TYPE_REPORT, "action_attempt_id"):
                link = await self._data.link_to_report(caller, key, attempt, expires_in=expires_in)
            case (ArtifactType.ARTIFACT_TYPE_CODE_BUNDLE, "action_attempt_id"):
                link = await self._data.link_to_code(
                    caller, key, bundle_of=convert.code_bundle_of, expires_in=expires_in
                )
            case _:
                raise UnbuiltError(
                    "links are made to the report and to the code bundle of an action's attempt;"
                    " name one in action_attempt_id"
                )
        return convert.render_link(link)

    async def get_action_data(
        self, caller: Caller, request: GetActionDataRequest
    ) -> GetActionDataResponse:
        key = convert.parse_action_key(request.action_id)
        return convert.render_action_data(key, await self._data.get_action_data(caller, key))

    def tail_logs(
        self, _caller: Caller, _request: TailLogsRequest
    ) -> AsyncIterator[TailLogsResponse]:
        raise UnbuiltError("logs are not followed by this release yet")

    async def _spec(self, caller: Caller, request: UploadInputsRequest) -> TaskSpec:
        match request.WhichOneof("task"):
            case "task_spec":
                return request.task_spec
            case "task_id":
                return TaskSpec.FromString(await self._deployed(caller, request.task_id))
            case _:
                raise UnbuiltError(
                    "triggers are not served by this release; name the task in task_id instead"
                )

    async def _deployed(self, caller: Caller, task: TaskIdentifier) -> bytes:
        return await self._tasks.get_spec(
            caller, ProjectName(task.project), DomainName(task.domain), task.name, task.version
        )
