"""Invalid requests are rejected with a code and a message, without side effects."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from connectrpc.code import Code
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest, WatchForUpdatesRequest
from flyteidl2.cluster.payload_pb2 import SelectClusterRequest
from flyteidl2.common.identifier_pb2 import ProjectIdentifier
from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    ArtifactType,
    CreateDownloadLinkRequest,
    CreateUploadLocationRequest,
    GetActionDataRequest,
    TailLogsRequest,
    UploadInputsRequest,
)
from flyteidl2.project.project_service_pb2 import GetProjectRequest
from flyteidl2.task.task_definition_pb2 import TaskIdentifier
from flyteidl2.task.task_service_pb2 import DeployTaskRequest, GetTaskDetailsRequest
from flyteidl2.workflow.run_service_pb2 import (
    AbortActionRequest,
    CreateRunRequest,
    GetActionDetailsRequest,
    GetRunDetailsRequest,
    SignalEventRequest,
    WatchActionDetailsRequest,
    WatchActionsRequest,
)

from tests.system.api_client import PROJECT_ID, ApiClient, action_id, attempt_id, refusal, run_id
from tests.system.enqueues import make_action, running_parent, sleep_spec
from tests.system.values import make_inputs

ANONYMOUS = action_id("nobody")
NO_TASK = TaskIdentifier(
    project=PROJECT_ID.name, domain=PROJECT_ID.domain, name="nobody.main", version="1"
)
NO_PROJECT = ProjectIdentifier(name="nobody", domain=PROJECT_ID.domain)

Call = Callable[[ApiClient], Any]


MISSING: Mapping[str, Call] = {
    "GetProject": lambda api: api.projects.get_project(GetProjectRequest(id="nobody")),
    "GetTaskDetails": lambda api: api.tasks.get_task_details(
        GetTaskDetailsRequest(task_id=NO_TASK)
    ),
    "CreateRun of no task": lambda api: api.runs.create_run(
        CreateRunRequest(project_id=PROJECT_ID, task_id=NO_TASK)
    ),
    "CreateRun in no project": lambda api: api.runs.create_run(
        CreateRunRequest(project_id=NO_PROJECT, task_spec=sleep_spec())
    ),
    "GetRunDetails": lambda api: api.runs.get_run_details(
        GetRunDetailsRequest(run_id=ANONYMOUS.run)
    ),
    "GetActionDetails": lambda api: api.runs.get_action_details(
        GetActionDetailsRequest(action_id=ANONYMOUS)
    ),
    "AbortAction": lambda api: api.runs.abort_action(AbortActionRequest(action_id=ANONYMOUS)),
    "WatchActionDetails": lambda api: anext(
        api.runs.watch_action_details(WatchActionDetailsRequest(action_id=ANONYMOUS))
    ),
    "WatchActions": lambda api: anext(
        api.runs.watch_actions(WatchActionsRequest(run_id=ANONYMOUS.run))
    ),
    "WatchForUpdates": lambda api: anext(
        api.actions.watch_for_updates(WatchForUpdatesRequest(parent_action_id=ANONYMOUS))
    ),
    "GetActionData": lambda api: api.data.get_action_data(
        GetActionDataRequest(action_id=ANONYMOUS)
    ),
    "TailLogs": lambda api: anext(
        api.data.tail_logs(TailLogsRequest(action_id=ANONYMOUS, attempt=1))
    ),
    "CreateDownloadLink": lambda api: api.data.create_download_link(
        CreateDownloadLinkRequest(
            artifact_type=ArtifactType.ARTIFACT_TYPE_REPORT,
            action_attempt_id=attempt_id(ANONYMOUS),
        )
    ),
    "CreateUploadLocation": lambda api: api.data.create_upload_location(
        CreateUploadLocationRequest(
            project="nobody", domain="development", content_md5=bytes(16), filename="f"
        )
    ),
    "UploadInputs": lambda api: api.data.upload_inputs(
        UploadInputsRequest(project_id=NO_PROJECT, task_spec=sleep_spec(), inputs=make_inputs({}))
    ),
}


@pytest.mark.parametrize("call", MISSING.values(), ids=MISSING.keys())
async def test_missing_object_is_not_found_by_name(api: ApiClient, call: Call) -> None:
    code, message = await refusal(call(api))

    assert code is Code.NOT_FOUND
    assert "nobody" in message


def create_run(**fields: Any) -> Call:
    wanted = {"project_id": PROJECT_ID, "task_spec": sleep_spec()}
    return lambda api: api.runs.create_run(CreateRunRequest(**(wanted | fields)))


def named(run: str) -> Call:
    return lambda api: api.runs.create_run(
        CreateRunRequest(run_id=run_id(run), task_spec=sleep_spec())
    )


def deploy(name: str = "env.main", version: str = "1") -> Call:
    task = TaskIdentifier(
        project=PROJECT_ID.name, domain=PROJECT_ID.domain, name=name, version=version
    )
    return lambda api: api.tasks.deploy_task(DeployTaskRequest(task_id=task, spec=sleep_spec()))


MEANINGLESS: Mapping[str, tuple[Call, str]] = {
    "upper case": (named("Upper"), "run"),
    "a long run": (named("r" * 31), "run"),
    "a slash": (named("a/b"), "run"),
    "an accent": (named("é"), "run"),
    "NUL in a run": (named("nul\0"), "run"),
    "a long task": (deploy(name="n" * 256), "name"),
    "NUL in a task": (deploy(name="nul\0"), "name"),
    "a long version": (deploy(version="v" * 64), "version"),
    "no id and no task": (lambda api: api.runs.create_run(CreateRunRequest()), "id: exactly one"),
    "no task": (
        lambda api: api.runs.create_run(CreateRunRequest(project_id=PROJECT_ID)),
        "task: exactly one",
    ),
    "nothing to upload for": (
        lambda api: api.data.upload_inputs(UploadInputsRequest()),
        "exactly one",
    ),
    "no action": (lambda api: api.actions.enqueue(EnqueueRequest()), "action"),
    "no resource": (lambda api: api.clusters.select_cluster(SelectClusterRequest()), "resource"),
    "no payload": (
        lambda api: api.runs.signal_event(
            SignalEventRequest(action_id=ANONYMOUS, parent_action_name="a0")
        ),
        "payload",
    ),
    "half an MD5": (
        lambda api: api.data.create_upload_location(
            CreateUploadLocationRequest(
                project=PROJECT_ID.name,
                domain=PROJECT_ID.domain,
                content_md5=b"short",
                filename="f",
            )
        ),
        "content_md5",
    ),
    "a path that leaves": (
        lambda api: api.data.create_upload_location(
            CreateUploadLocationRequest(
                project=PROJECT_ID.name,
                domain=PROJECT_ID.domain,
                content_md5=bytes(16),
                filename="../../../etc/passwd",
            )
        ),
        "..",
    ),
    "a long URI": (
        create_run(offloaded_input_data=OffloadedInputData(uri="u" * 3000, inputs_hash="h")),
        "uri",
    ),
    "attempt 0": (
        lambda api: anext(api.data.tail_logs(TailLogsRequest(action_id=ANONYMOUS, attempt=0))),
        "attempt",
    ),
}


@pytest.mark.parametrize(("call", "words"), MEANINGLESS.values(), ids=MEANINGLESS.keys())
async def test_invalid_argument_is_named(api: ApiClient, call: Call, words: str) -> None:
    code, message = await refusal(call(api))

    assert code is Code.INVALID_ARGUMENT
    assert words in message


@pytest.mark.parametrize("name", ["a/b", "..", "a" * 31, "nul\0", ""])
async def test_enqueue_with_invalid_action_name_is_rejected(api: ApiClient, name: str) -> None:
    async with running_parent(api) as parent:
        action = await make_action(api, parent, "good", sleep_spec())
        action.action_id.name = name

        code, message = await refusal(api.actions.enqueue(EnqueueRequest(action=action)))

        assert code is Code.INVALID_ARGUMENT
        assert "name" in message
        assert not await api.children(parent)


async def test_invalid_protobuf_inputs_fail_the_run(api: ApiClient) -> None:
    uri = await api.upload(b"\xff\xff this is no protobuf", "inputs.pb")

    for task in ("hello.main", "system.echo"):
        what: dict[str, Any] = {"task_id": await api.task("hello.main")}
        if task == "system.echo":
            spec = sleep_spec("echo", asks_how_long=True)
            spec.task_template.type = "echo"
            what = {"task_spec": spec}
        created = await api.runs.create_run(
            CreateRunRequest(
                project_id=PROJECT_ID,
                offloaded_input_data=OffloadedInputData(uri=f"file://{uri}", inputs_hash="h"),
                **what,
            )
        )
        details = await api.ended(created.run.action.id)
        assert details.error_info.message

        code, message = await refusal(
            api.data.get_action_data(GetActionDataRequest(action_id=created.run.action.id))
        )
        assert code is not Code.INTERNAL
        assert "inputs" in message


async def test_unimplemented_rpc_answers_with_a_message(api: ApiClient) -> None:
    async with httpx.AsyncClient(base_url=api.url) as http:
        for rpc in (
            "flyteidl2.imagebuilder.ImageService/GetImage",
            "flyteidl2.app.AppService/Create",
            "flyteidl2.workflow.RunService/NoSuchMethod",
        ):
            answer = await http.post(
                f"/{rpc}", content=b"", headers={"content-type": "application/proto"}
            )
            assert answer.json()["code"] == "unimplemented"
            assert len(answer.json()["message"].split()) > 3
