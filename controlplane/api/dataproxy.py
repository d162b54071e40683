"""DataProxyService: files, inputs, outputs, reports, code and logs."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

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
from flyteidl2.task.task_definition_pb2 import TaskSpec

from controlplane.api.convert import data as convert, keys
from controlplane.api.convert.logs import SILENT_FOR, render_log_lines
from controlplane.api.convert.strings import parse_text
from controlplane.api.convert.timestamps import parse_duration
from controlplane.api.streams import Pause, with_pauses
from controlplane.core.actions import RunSource
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, UnbuiltError
from controlplane.core.tasks import TaskKey
from controlplane.usecases.artifacts import Artifacts
from controlplane.usecases.data import Data
from controlplane.usecases.logs import Logs
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.tasks import Tasks
from controlplane.usecases.triggers import Triggers


class DataProxyService:
    def __init__(
        self,
        data: Data,
        tasks: Tasks,
        triggers: Triggers,
        logs: Logs,
        settings: ScopedSettings,
        *,
        artifacts: Artifacts,
    ) -> None:
        self._data = data
        self._artifacts = artifacts
        self._tasks = tasks
        self._triggers = triggers
        self._logs = logs
        self._settings = settings

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
        upload = convert.parse_inputs_upload(request, prepared)
        if not upload.base:  # a run's inputs lie below the base that the run will get
            base = await self._settings.find_run_base(caller, upload.project, upload.domain)
            upload = replace(upload, base=base)
        uri = await self._data.upload_inputs(caller, upload)
        await self._artifacts.record_inputs(caller, uri, upload.artifacts)
        return convert.render_uploaded_inputs(uri, prepared)

    async def create_download_link(
        self, caller: Caller, request: CreateDownloadLinkRequest
    ) -> CreateDownloadLinkResponse:
        expires_in = parse_duration(request.expires_in, "expires_in")
        match request.WhichOneof("source"):
            case "task_id":
                return await self._link_to_task(caller, request, expires_in)
            case "app_id":
                raise UnbuiltError(
                    "artifacts of apps have no links; set action_attempt_id or task_id"
                )
            case _:
                return await self._link_to_attempt(caller, request, expires_in)

    async def _link_to_task(
        self, caller: Caller, request: CreateDownloadLinkRequest, expires_in: timedelta
    ) -> CreateDownloadLinkResponse:
        if request.artifact_type != ArtifactType.ARTIFACT_TYPE_CODE_BUNDLE:
            raise InvalidError(
                "artifact_type: a task has a code bundle only; reports are of attempts"
            )
        key = keys.parse_task(request.task_id)
        task = await self._tasks.get(caller, key)
        link = await self._data.link_to_code_of_task(
            caller, key, convert.code_bundle_of(task.spec), expires_in=expires_in
        )
        return convert.render_link(link)

    async def _link_to_attempt(
        self, caller: Caller, request: CreateDownloadLinkRequest, expires_in: timedelta
    ) -> CreateDownloadLinkResponse:
        key = keys.parse_action(request.action_attempt_id.action_id)
        attempt = request.action_attempt_id.attempt
        match request.artifact_type:
            case ArtifactType.ARTIFACT_TYPE_REPORT:
                link = await self._data.link_to_report(caller, key, attempt, expires_in=expires_in)
            case ArtifactType.ARTIFACT_TYPE_CODE_BUNDLE:
                link = await self._data.link_to_code(
                    caller, key, bundle_of=convert.code_bundle_of, expires_in=expires_in
                )
            case _:
                raise UnbuiltError("only reports and code bundles have links")
        return convert.render_link(link)

    async def get_action_data(
        self, caller: Caller, request: GetActionDataRequest
    ) -> GetActionDataResponse:
        key = keys.parse_action(request.action_id)
        data = await self._data.get_action_data(
            caller,
            key,
            has_outputs=convert.has_outputs,
            tracked_only=request.run_source == RunSource.TRACKED,
        )
        return convert.render_action_data(key, data)

    async def tail_logs(
        self, caller: Caller, request: TailLogsRequest
    ) -> AsyncIterator[TailLogsResponse]:
        action = keys.parse_action(request.action_id)
        if request.connector_endpoint:
            raise UnbuiltError(
                "connector_endpoint: the log of a connector's job is that of its attempt; leave it out"
            )
        pod = parse_text(request.pod_name, "pod_name", most=256)
        follow = self._logs.follow(caller, action, request.attempt, pod=pod)
        async with aclosing(with_pauses(follow, SILENT_FOR)) as batches:
            async for lines in batches:
                logs = [] if isinstance(lines, Pause) else [render_log_lines(lines)]
                yield TailLogsResponse(logs=[TailLogsResponse.Logs(lines=each) for each in logs])

    async def _spec(self, caller: Caller, request: UploadInputsRequest) -> TaskSpec:
        match request.WhichOneof("task"):
            case "task_spec":
                return request.task_spec
            case "task_id":
                task = await self._tasks.get(caller, keys.parse_task(request.task_id))
                return TaskSpec.FromString(task.spec)
            case _:
                trigger = await self._triggers.get(caller, keys.parse_trigger(request.trigger_name))
                key = trigger.key
                task = await self._tasks.get(
                    caller,
                    TaskKey(key.project, key.domain, key.task_name, trigger.task_version),
                )
                return TaskSpec.FromString(task.spec)
