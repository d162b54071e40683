"""Native gRPC over HTTP/2, by gRPC's own client, with the same services as Connect."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
import pyqwest
import pytest
from flyte_controller_base import Action, BaseController
from flyteidl2.common.phase_pb2 import ACTION_PHASE_SUCCEEDED
from flyteidl2.workflow import run_service_pb2 as runs
from flyteidl2.workflow.run_service_connect import RunServiceClient

from shared.model.phases import Phase
from tests.integration.api.client import open_api
from tests.integration.api.requests import action_id, create_run, project_id, run_id, task_spec
from tests.integration.network.served import Served
from tests.running import until

SERVICE = "/flyteidl2.workflow.RunService"


@pytest.fixture
async def channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    credentials = grpc.ssl_channel_credentials(served.files.authority.certificate)
    address = f"localhost:{served.address[1]}"
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        yield channel


def unary(channel: grpc.aio.Channel, method: str, answer: Any) -> Any:
    return channel.unary_unary(
        f"{SERVICE}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )


def stream(channel: grpc.aio.Channel, method: str, answer: Any) -> Any:
    return channel.unary_stream(
        f"{SERVICE}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )


async def test_grpc_client_in_the_clear_is_served(database_url: str, tmp_path: Path) -> None:
    async with open_api(database_url, tmp_path / "blobs") as api:
        address = urlsplit(api.url).netloc
        async with grpc.aio.insecure_channel(address) as channel:
            await unary(channel, "CreateRun", runs.CreateRunResponse)(create_run())
        await until(lambda: len(api.connections) == 0, "its connection is closed")


async def test_sdk_transport_uses_one_http2_connection(served: Served) -> None:
    """The SDK's own HTTP client, with Connect's protocol."""
    transport = pyqwest.HTTPTransport(tls_ca_cert=served.files.authority.certificate)
    client: Any = RunServiceClient(served.api.url, http_client=pyqwest.Client(transport=transport))
    watched = client.watch_runs(runs.WatchRunsRequest(project_id=project_id()))
    await anext(watched)
    await client.create_run(create_run())
    assert (await anext(watched)).runs
    await client.get_run_details(runs.GetRunDetailsRequest(run_id=run_id()))
    assert len(served.api.connections) == 1  # by HTTP/1.1 the stream would have one to itself
    await watched.aclose()
    await until(lambda: len(served.api.api.streams) == 0, "the stream has ended")


async def test_rust_controller_of_the_sdk_runs_an_action(database_url: str, tmp_path: Path) -> None:
    async with open_api(database_url, tmp_path / "blobs") as api:
        await api.runs.create_run(create_run())
        (root,) = await api.claim()
        await api.report(root, Phase.RUNNING)
        base = f"{api.blobs.base}/acme/flytesnacks/development/r1"
        controller: Any = BaseController(endpoint=api.url.replace("127.0.0.1", "localhost"))
        action: Any = Action.from_task(
            sub_action_id_bytes=action_id("c1").SerializeToString(),
            parent_action_name="a0",
            group_data=None,
            task_spec_bytes=task_spec().SerializeToString(),
            inputs_uri=f"{base}/c1/inputs.pb",
            run_output_base=base,
            cache_key=None,
            queue=None,
        )

        async def submit() -> Any:
            return await controller.submit_action(action)

        async with asyncio.TaskGroup() as tasks:
            submitted = tasks.create_task(submit())

            async def end_what_waits() -> bool:
                await api.finish()
                return submitted.done()

            await until(end_what_waits, "the controller has seen the action's end")
        assert submitted.result().phase_value == ACTION_PHASE_SUCCEEDED
        await controller.finalize_parent_action(
            run_id_bytes=run_id().SerializeToString(), parent_action_name="a0"
        )


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
async def test_grpc_client_calls_and_watches(
    channel: grpc.aio.Channel, compression: grpc.Compression | None
) -> None:
    watched = stream(channel, "WatchRuns", runs.WatchRunsResponse)(
        runs.WatchRunsRequest(project_id=project_id())
    )
    await watched.read()  # the snapshot, which is empty
    await unary(channel, "CreateRun", runs.CreateRunResponse)(create_run(), compression=compression)
    found = await watched.read()
    assert [run.action.id.run.name for run in found.runs] == ["r1"]
    watched.cancel()
    details = await unary(channel, "GetRunDetails", runs.GetRunDetailsResponse)(
        runs.GetRunDetailsRequest(run_id=run_id())
    )
    assert details.details.action.id.run.name == "r1"


async def test_grpc_client_reads_status_message_and_request_id_of_an_error(
    channel: grpc.aio.Channel,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await unary(channel, "GetRunDetails", runs.GetRunDetailsResponse)(
            runs.GetRunDetailsRequest(run_id=run_id("none"))
        )
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert "none" in (failed.value.details() or "")
    metadata = dict(failed.value.initial_metadata())
    assert metadata["x-request-id"]
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await unary(channel, "GetRunDetails", runs.GetRunDetailsResponse)(
            runs.GetRunDetailsRequest()
        )
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("method", "code", "words"),
    [
        (f"{SERVICE}/Nothing", grpc.StatusCode.UNIMPLEMENTED, "there is no RPC"),
        ("/flyteidl2.workflow.StateService/Put", grpc.StatusCode.UNIMPLEMENTED, "Volary"),
    ],
)
async def test_grpc_client_is_told_that_an_rpc_is_not_served(
    channel: grpc.aio.Channel, method: str, code: grpc.StatusCode, words: str
) -> None:
    call: Any = channel.unary_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(b"")
    assert failed.value.code() is code
    assert words in (failed.value.details() or "")


async def test_grpc_message_over_the_limit_is_refused(channel: grpc.aio.Channel) -> None:
    request = create_run()
    request.inputs.literals.add(name="x" * 17 * 1024 * 1024)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await unary(channel, "CreateRun", runs.CreateRunResponse)(request)
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_grpc_stream_that_is_cancelled_ends_on_the_server(
    channel: grpc.aio.Channel, served: Served
) -> None:
    watches = [
        stream(channel, "WatchRuns", runs.WatchRunsResponse)(
            runs.WatchRunsRequest(project_id=project_id())
        )
        for _ in range(20)
    ]
    for each in watches:
        await each.read()
    assert len(served.api.connections) == 1
    assert len(served.api.api.streams) == 20
    for each in watches:
        each.cancel()
    await until(lambda: len(served.api.api.streams) == 0, "no stream is left")
    await unary(channel, "CreateRun", runs.CreateRunResponse)(create_run())


async def test_grpc_call_past_its_deadline_is_ended(channel: grpc.aio.Channel) -> None:
    watched = stream(channel, "WatchRuns", runs.WatchRunsResponse)(
        runs.WatchRunsRequest(project_id=project_id()), timeout=1
    )
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for _ in watched:
            pass
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_many_grpc_calls_at_once_share_a_connection(
    channel: grpc.aio.Channel, served: Served
) -> None:
    await unary(channel, "CreateRun", runs.CreateRunResponse)(create_run())

    async def read() -> None:
        details = unary(channel, "GetRunDetails", runs.GetRunDetailsResponse)
        await details(runs.GetRunDetailsRequest(run_id=run_id()))

    async with asyncio.TaskGroup() as calls:
        for _ in range(500):
            calls.create_task(read())
    assert len(served.api.connections) == 1
