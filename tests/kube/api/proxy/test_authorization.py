"""Calls that a task may make through the proxy, and the refusals of all others."""

from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions.actions_service_connect import ActionsServiceClient
from flyteidl2.actions.actions_service_pb2 import (
    Action,
    EnqueueRequest,
    EnqueueResponse,
    WatchForUpdatesRequest,
)
from flyteidl2.auth.auth_service_connect import AuthMetadataServiceClient
from flyteidl2.auth.auth_service_pb2 import GetOAuth2MetadataRequest, GetPublicClientConfigRequest
from flyteidl2.cluster.payload_pb2 import SelectClusterRequest
from flyteidl2.cluster.service_connect import ClusterServiceClient
from flyteidl2.common.identifier_pb2 import ActionIdentifier, ProjectIdentifier, RunIdentifier
from flyteidl2.common.run_pb2 import RELATION_TYPE_RERUN, RELATION_TYPE_SPAWN, Relation
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClient
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    CreateDownloadLinkRequest,
    CreateUploadLocationRequest,
    CreateUploadLocationResponse,
)
from flyteidl2.secret.payload_pb2 import ListSecretsRequest
from flyteidl2.secret.secret_connect import SecretServiceClient
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskIdentifier
from flyteidl2.task.task_service_connect import TaskServiceClient
from flyteidl2.task.task_service_pb2 import GetTaskDetailsRequest, GetTaskDetailsResponse
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    AbortRunResponse,
    CreateRunRequest,
    CreateRunResponse,
    GetRunDetailsRequest,
    GetRunDetailsResponse,
    ListRunsRequest,
)

from tests.kube.api.proxy.control import Control
from tests.kube.api.proxy.world import Pod, World
from tests.system.commands import DOMAIN, PROJECT


@pytest.fixture
async def pod(here: World) -> Pod:
    return await here.pod("mine")


async def _refusal(call: Awaitable[Any]) -> tuple[Code, str]:
    with pytest.raises(ConnectError) as refused:
        await call
    return refused.value.code, refused.value.message


def _run(name: str) -> RunIdentifier:
    return RunIdentifier(org="local", project=PROJECT, domain=DOMAIN, name=name)


def _enqueue(run: str) -> EnqueueRequest:
    return EnqueueRequest(
        action=Action(
            action_id=ActionIdentifier(run=_run(run), name="child"), parent_action_name="a0"
        )
    )


async def test_task_enqueues_into_its_own_run_only(here: World, control: Control, pod: Pod) -> None:
    control.say("Enqueue", EnqueueResponse())
    actions = ActionsServiceClient(here.url, **here.clients(pod.token))
    await actions.enqueue(_enqueue("mine"))

    code, message = await _refusal(actions.enqueue(_enqueue("theirs")))

    assert code is Code.PERMISSION_DENIED
    assert "theirs is neither its own run" in message
    assert "call it from outside" in message
    assert len(control.seen) == 1


async def test_task_enqueues_below_its_own_action_only(
    here: World, control: Control, pod: Pod
) -> None:
    request = _enqueue("mine")
    request.action.parent_action_name = "a1"
    actions = ActionsServiceClient(here.url, **here.clients(pod.token))

    code, message = await _refusal(actions.enqueue(request))

    assert code is Code.PERMISSION_DENIED
    assert "mine/a1 is not its own action" in message
    assert control.seen == []


async def test_stream_of_another_run_is_refused_as_a_stream(
    here: World, control: Control, pod: Pod
) -> None:
    actions = ActionsServiceClient(here.url, **here.clients(pod.token))
    theirs = ActionIdentifier(run=_run("theirs"), name="a0")
    with pytest.raises(ConnectError) as refused:
        async for _ in actions.watch_for_updates(WatchForUpdatesRequest(parent_action_id=theirs)):
            pass
    assert refused.value.code is Code.PERMISSION_DENIED
    assert control.seen == []


async def test_task_may_read_runs_it_started(here: World, control: Control, pod: Pod) -> None:
    spawned = GetRunDetailsResponse()
    spawned.details.run_spec.relation.CopyFrom(
        Relation(related_to=_run("mine"), relation_type=RELATION_TYPE_SPAWN)
    )
    control.say("GetRunDetails", spawned)
    control.say("AbortRun", AbortRunResponse())
    runs = RunServiceClient(here.url, **here.clients(pod.token))
    await runs.abort_run(AbortRunRequest(run_id=_run("child")))
    await runs.abort_run(AbortRunRequest(run_id=_run("child")))

    asked = [seen.rpc.rpartition("/")[2] for seen in control.seen]
    assert asked == ["GetRunDetails", "AbortRun", "AbortRun"], "where it is from is asked once"


@pytest.mark.parametrize(
    "relation",
    [
        None,
        Relation(related_to=_run("theirs"), relation_type=RELATION_TYPE_SPAWN),
        Relation(related_to=_run("mine"), relation_type=RELATION_TYPE_RERUN),
    ],
    ids=["from outside", "started by another", "a rerun of it"],
)
async def test_other_runs_are_not(
    here: World, control: Control, pod: Pod, relation: Relation | None
) -> None:
    details = GetRunDetailsResponse()
    if relation is not None:
        details.details.run_spec.relation.CopyFrom(relation)
    control.say("GetRunDetails", details)
    runs = RunServiceClient(here.url, **here.clients(pod.token))
    code, _ = await _refusal(runs.get_run_details(GetRunDetailsRequest(run_id=_run("other"))))
    assert code is Code.PERMISSION_DENIED


async def test_task_starts_runs_in_its_own_domain(here: World, control: Control, pod: Pod) -> None:
    control.say("CreateRun", CreateRunResponse())
    control.say("GetRunDetails", GetRunDetailsResponse())
    runs = RunServiceClient(here.url, **here.clients(pod.token))

    def request(project: str, related: str) -> CreateRunRequest:
        relation = Relation(related_to=_run(related), relation_type=RELATION_TYPE_SPAWN)
        return CreateRunRequest(
            project_id=ProjectIdentifier(name=project, domain=DOMAIN),
            run_spec=RunSpec(relation=relation),
        )

    await runs.create_run(request(PROJECT, "mine"))
    elsewhere, message = await _refusal(runs.create_run(request("elsewhere", "mine")))
    assert elsewhere is Code.PERMISSION_DENIED
    assert f"elsewhere/{DOMAIN} is not its own project and domain" in message
    pretended, _ = await _refusal(runs.create_run(request(PROJECT, "theirs")))
    assert pretended is Code.PERMISSION_DENIED


async def test_uploads_go_where_the_task_runs(here: World, control: Control, pod: Pod) -> None:
    control.say("CreateUploadLocation", CreateUploadLocationResponse())
    data = DataProxyServiceClient(here.url, **here.clients(pod.token))
    await data.create_upload_location(CreateUploadLocationRequest(project=PROJECT, domain=DOMAIN))
    code, _ = await _refusal(
        data.create_upload_location(CreateUploadLocationRequest(project="other", domain=DOMAIN))
    )
    assert code is Code.PERMISSION_DENIED


async def test_link_to_foreign_data_is_refused(here: World, pod: Pod) -> None:
    data = DataProxyServiceClient(here.url, **here.clients(pod.token))
    code, _ = await _refusal(data.create_download_link(CreateDownloadLinkRequest()))
    assert code is Code.PERMISSION_DENIED


async def test_tasks_of_other_projects_may_be_looked_up(
    here: World, control: Control, pod: Pod
) -> None:
    control.say("GetTaskDetails", GetTaskDetailsResponse())
    tasks = TaskServiceClient(here.url, **here.clients(pod.token))
    desired = TaskIdentifier(project="shared", domain=DOMAIN, name="t", version="1")
    await tasks.get_task_details(GetTaskDetailsRequest(task_id=desired))


async def test_rpc_not_for_tasks_is_refused_with_the_remedy(here: World, pod: Pod) -> None:
    secrets = SecretServiceClient(here.url, **here.clients(pod.token))
    code, message = await _refusal(secrets.list_secrets(ListSecretsRequest()))
    assert code is Code.PERMISSION_DENIED
    assert "secrets=" in message

    runs = RunServiceClient(here.url, **here.clients(pod.token))
    code, message = await _refusal(runs.list_runs(ListRunsRequest()))
    assert code is Code.PERMISSION_DENIED
    assert "by name" in message


async def test_call_with_an_unknown_token_is_unauthenticated(here: World) -> None:
    secrets = SecretServiceClient(here.url, **here.clients("nobody"))
    code, _ = await _refusal(secrets.list_secrets(ListSecretsRequest()))
    assert code is Code.UNAUTHENTICATED


async def test_proxy_answers_select_cluster_and_auth_metadata_itself(
    here: World, control: Control
) -> None:
    selected = await ClusterServiceClient(here.url, http_client=here.http()).select_cluster(
        SelectClusterRequest(operation=SelectClusterRequest.OPERATION_CREATE_UPLOAD_LOCATION)
    )
    assert selected.cluster_endpoint == "", "stay here"
    metadata = AuthMetadataServiceClient(here.url, http_client=here.http())
    client = await metadata.get_public_client_config(GetPublicClientConfigRequest())
    assert client.authorization_metadata_key == "authorization"
    await metadata.get_o_auth2_metadata(GetOAuth2MetadataRequest())
    assert control.seen == []


_GOOD = "application/proto"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "application/json"}, b"{}", 400),
        ({"content-type": _GOOD}, b"\xff\xff\xff", 400),
        ({"content-type": _GOOD, "content-encoding": "gzip"}, b"no gzip", 400),
        ({"content-type": _GOOD, "content-encoding": "br"}, b"any", 501),
        ({"content-type": _GOOD}, b"\0" * (17 * 1024 * 1024), 429),
    ],
    ids=["JSON", "no message", "no gzip", "another packing", "too large"],
)
async def test_unparseable_call_is_not_forwarded(
    here: World, pod: Pod, headers: dict[str, str], body: bytes, status: int
) -> None:
    async with httpx.AsyncClient(verify=here.trust(), trust_env=False) as http:
        answer = await http.post(
            f"{here.url}/flyteidl2.actions.ActionsService/Enqueue",
            headers={**headers, "authorization": f"Bearer {pod.token}"},
            content=body,
        )
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]
    assert not here.proxy.counts.calls


async def test_forwarded_call_is_the_authorized_one(
    here: World, control: Control, pod: Pod
) -> None:
    """The request that is authorized is the one that is forwarded, even if a header is sent twice."""
    control.say("Enqueue", EnqueueResponse())
    async with httpx.AsyncClient(verify=here.trust(), trust_env=False) as http:
        await http.post(
            f"{here.url}/flyteidl2.actions.ActionsService/Enqueue",
            headers=[
                ("content-type", _GOOD),
                ("content-encoding", "identity"),
                ("content-encoding", "gzip"),
                ("authorization", f"Bearer {pod.token}"),
                ("cookie", "a=b"),
                ("accept-encoding", "identity"),
                ("x-forwarded-for", "10.0.0.1"),
                ("x-volary-attempt", "another"),
            ],
            content=_enqueue("mine").SerializeToString(),
        )
    (seen,) = control.seen
    assert seen.headers.get("content-encoding", "identity") == "identity"
    assert seen.headers["x-volary-attempt"] == str(pod.assignment.attempt)
    assert seen.headers["x-forwarded-for"] == "127.0.0.1"
    assert seen.headers.get("accept-encoding", "identity") == "identity"
    assert "cookie" not in seen.headers


async def test_other_http_requests_are_refused(here: World, pod: Pod) -> None:
    async with httpx.AsyncClient(verify=here.trust(), trust_env=False) as http:
        for method, path, status in [
            ("GET", "/flyteidl2.actions.ActionsService/Enqueue", 405),
            ("GET", "/healthz", 200),
            ("GET", "/readyz", 200),
            ("GET", "/fence", 200),
            ("GET", "/", 404),
            ("POST", "/console/v2/anything", 404),
        ]:
            answer = await http.request(
                method,
                f"{here.url}{path}",
                headers={"authorization": f"Bearer {pod.token}"},
            )
            assert answer.status_code == status, (method, path)
