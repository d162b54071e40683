"""
Rules of every call: unbuilt RPCs say so, streams end and are released, bugs are reported by
request id, every call is logged and counted, probes tell the truth.
"""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from connectrpc.client import ConnectClient
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo
from flyteidl2.actions.actions_service_pb2 import WatchForUpdatesRequest
from flyteidl2.auth.auth_service_pb2 import GetOAuth2MetadataRequest, GetPublicClientConfigRequest
from flyteidl2.auth.identity_pb2 import UserInfoRequest
from flyteidl2.cluster.payload_pb2 import SelectClusterRequest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, WatchRunsRequest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from controlplane.api import server
from controlplane.api.permissions import PERMISSIONS, Access
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    project_id,
    refusal,
    run_id,
)

UNBUILT = [
    method
    for service in server.services()
    for method in service.methods
    if PERMISSIONS[service.full_name][method.name] is Access.UNBUILT
]


async def call(client: ConnectClient, method: MethodDescriptor) -> Any:
    """Call any RPC with an empty request."""
    request = GetMessageClass(method.input_type)()
    info = MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
    )
    if not method.server_streaming:
        return await client.execute_unary(request=request, method=info, headers=None)
    if not method.client_streaming:
        return await anext(client.execute_server_stream(request=request, method=info, headers=None))

    async def requests() -> Any:
        yield request

    return await anext(client.execute_bidi_stream(request=requests(), method=info, headers=None))


async def test_every_rpc_that_is_not_built_says_so_by_name(api: ApiUnderTest) -> None:
    client = ConnectClient(api.url)
    assert UNBUILT

    for method in UNBUILT:
        async with asyncio.timeout(60):
            code, message = await refusal(call(client, method))
        assert code is Code.UNIMPLEMENTED, method.full_name
        assert f"{method.containing_service.full_name}/{method.name}" in message


async def test_anonymous_callers_get_their_identity_without_a_login(api: ApiUnderTest) -> None:
    who = await api.identity.user_info(UserInfoRequest())
    config = await api.auth.get_public_client_config(GetPublicClientConfigRequest())
    metadata = await api.auth.get_o_auth2_metadata(GetOAuth2MetadataRequest())

    assert (who.subject, who.name) == ("anonymous", "Anonymous")
    assert config.authorization_metadata_key == "authorization"
    assert metadata.issuer == "http://public"


async def test_select_cluster_names_no_endpoint_and_refuses_trigger_inputs(
    api: ApiUnderTest,
) -> None:
    request = SelectClusterRequest(project_id=project_id())
    request.operation = SelectClusterRequest.OPERATION_UPLOAD_INPUTS
    assert (await api.clusters.select_cluster(request)).cluster_endpoint == ""

    request.operation = SelectClusterRequest.OPERATION_UPLOAD_TRIGGER
    code, _ = await refusal(api.clusters.select_cluster(request))
    assert code is Code.UNIMPLEMENTED


def open_streams(api: ApiUnderTest) -> float:
    labels = {"rpc": "flyteidl2.actions.ActionsService/WatchForUpdates"}
    return api.metrics.get_sample_value("volary_api_streams", labels) or 0.0


async def test_watch_ends_when_its_client_disconnects_without_a_change(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run())
    updates = api.actions.watch_for_updates(WatchForUpdatesRequest(parent_action_id=action_id()))
    assert (await anext(updates)).control_message.sentinel
    assert open_streams(api) == 1

    await updates.aclose()

    async with asyncio.timeout(60):
        while open_streams(api):  # noqa: ASYNC110 -- a gauge calls nobody back
            await asyncio.sleep(0)


async def test_watch_ends_with_unavailable_when_the_api_stops(api: ApiUnderTest) -> None:
    watched = api.runs.watch_runs(WatchRunsRequest(project_id=project_id()))
    await anext(watched)

    api.api.end_streams()

    for stream in (watched, api.runs.watch_runs(WatchRunsRequest(project_id=project_id()))):
        async with asyncio.timeout(60):
            code, message = await refusal(anext(stream))
        assert code is Code.UNAVAILABLE
        assert "connect again" in message


async def test_internal_error_is_logged_in_full_and_answered_by_request_id(
    api: ApiUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    await api.database.close()
    object.__setattr__(api.database, "for_org", None)  # what no code of ours would do

    with pytest.raises(ConnectError) as raised:
        await api.runs.get_run_details(
            GetRunDetailsRequest(run_id=run_id()), headers={"x-request-id": "request-7"}
        )

    assert raised.value.code is Code.INTERNAL
    assert "request-7" in raised.value.message
    assert "NoneType" not in raised.value.message
    (logged,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert logged.exc_info
    assert logged.__dict__["request_id"] == "request-7"


async def test_every_call_is_logged_and_counted_once(
    api: ApiUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="controlplane.api")

    await refusal(api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id())))

    (line,) = [record.__dict__ for record in caplog.records if record.message == "call ended"]
    assert line["rpc"] == "flyteidl2.workflow.RunService/GetRunDetails"
    assert (line["code"], line["subject"], line["org"]) == ("not_found", "anonymous", "acme")
    assert line["ms"] > 0
    labels = {"rpc": line["rpc"], "code": "not_found"}
    assert api.metrics.get_sample_value("volary_api_calls_total", labels) == 1


async def test_probes_and_metrics_are_answered(api: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=api.url) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 200
        assert "volary_api_calls" in (await http.get("/metrics")).text
        assert (await http.get("/v2/domain/d/project/p/tasks/env.main")).status_code == 200
        assert (await http.get("/v2/domain/d/project/p/odd/x")).status_code == 404
