"""How calls and streams pass: unbuffered, at the reader's pace, and to an end that is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions.actions_service_connect import ActionsServiceClient
from flyteidl2.actions.actions_service_pb2 import (
    Action,
    EnqueueRequest,
    EnqueueResponse,
    WatchForUpdatesRequest,
    WatchForUpdatesResponse,
)
from flyteidl2.common.identifier_pb2 import ActionIdentifier, RunIdentifier
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClient
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest, GetActionDataResponse

from dataplane.agent.proxy import proxy_limits
from tests.kube.api.proxy.control import Control, envelope, forever
from tests.kube.api.proxy.world import Pod, World, until, world
from tests.kube.controlplane import KubeForTests
from tests.system.commands import DOMAIN, PROJECT

_ROOT = ActionIdentifier(
    run=RunIdentifier(org="local", project=PROJECT, domain=DOMAIN, name="r1"), name="a0"
)
_WATCH = WatchForUpdatesRequest(parent_action_id=_ROOT)


@pytest.fixture
async def pod(here: World) -> Pod:
    return await here.pod()


def _actions(here: World, pod: Pod) -> ActionsServiceClient:
    return ActionsServiceClient(here.url, **here.clients(pod.token))


def _update(name: str = "sentinel", size: int = 0) -> WatchForUpdatesResponse:
    update = WatchForUpdatesResponse()
    update.action_update.action_id.CopyFrom(ActionIdentifier(run=_ROOT.run, name=name))
    update.action_update.output_uri = "x" * size
    return update


async def test_stream_message_is_forwarded_at_once(here: World, control: Control, pod: Pod) -> None:
    more = asyncio.Event()

    async def updates() -> AsyncIterator[bytes]:
        yield envelope(_update("first"))
        await more.wait()
        yield envelope(_update("second"))

    control.stream("WatchForUpdates", updates)
    names = []
    async for update in _actions(here, pod).watch_for_updates(_WATCH, timeout_ms=20_000):
        names.append(update.action_update.action_id.name)
        more.set()
    assert names == ["first", "second"]


async def test_slow_reader_slows_the_source_in_bounded_memory(
    here: World, control: Control, pod: Pod
) -> None:
    sent = 0

    async def updates() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(512):
            yield envelope(_update(size=256 * 1024))
            sent += 1

    control.stream("WatchForUpdates", updates)
    headers = {
        "authorization": f"Bearer {pod.token}",
        "content-type": "application/connect+proto",
    }
    connector = aiohttp.TCPConnector(ssl=here.trust())
    async with (
        aiohttp.ClientSession(connector=connector, read_bufsize=2**16) as http,
        http.post(
            f"{here.url}/flyteidl2.actions.ActionsService/WatchForUpdates",
            data=envelope(_WATCH),
            headers=headers,
        ) as answer,
    ):
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.3)
        assert sent * 256 * 1024 < 32 * 2**20, "the rest waits at its source"
        read = 0
        async for chunk in answer.content.iter_any():
            read += len(chunk)
    assert sent == 512
    assert read > 128 * 2**20


async def test_ten_megabytes_pass_both_ways(here: World, control: Control, pod: Pod) -> None:
    large = "x" * (10 * 2**20)
    control.say("Enqueue", EnqueueResponse())
    answer = GetActionDataResponse()
    answer.outputs.literals.add(name="o0").value.scalar.primitive.string_value = large
    control.say("GetActionData", answer)

    await _actions(here, pod).enqueue(
        EnqueueRequest(action=Action(action_id=_ROOT, parent_action_name="a0", input_uri=large))
    )
    data = DataProxyServiceClient(here.url, **here.clients(pod.token))
    came = await data.get_action_data(GetActionDataRequest(action_id=_ROOT))

    assert EnqueueRequest.FromString(control.seen[0].text).action.input_uri == large
    assert came.outputs.literals[0].value.scalar.primitive.string_value == large


async def test_upstream_call_is_cancelled_with_the_callers(
    here: World, control: Control, pod: Pod
) -> None:
    ended = asyncio.Event()

    async def updates() -> AsyncIterator[bytes]:
        try:
            yield envelope(_update())
            await forever()
        finally:
            ended.set()

    control.stream("WatchForUpdates", updates)
    async with aclosing(_actions(here, pod).watch_for_updates(_WATCH)) as stream:
        async for _ in stream:
            break
    async with asyncio.timeout(60):
        await ended.wait()
    await until(lambda: here.proxy.counts.streams == 0)


async def _end_of(here: World, pod: Pod) -> ConnectError:
    with pytest.raises(ConnectError) as lost:
        async for _ in _actions(here, pod).watch_for_updates(_WATCH):
            pass
    return lost.value


async def test_stream_lost_between_messages_is_unavailable(
    here: World, control: Control, pod: Pod
) -> None:
    async def updates() -> AsyncIterator[bytes]:
        yield envelope(_update())

    control.stream("WatchForUpdates", updates, end=False)
    lost = await _end_of(here, pod)
    assert lost.code is Code.UNAVAILABLE
    assert "connect again" in lost.message


async def test_stream_lost_within_a_message_is_an_error(
    here: World, control: Control, pod: Pod
) -> None:
    async def updates() -> AsyncIterator[bytes]:
        yield envelope(_update())
        yield envelope(_update(size=1000))[:500]

    control.stream("WatchForUpdates", updates, end=False)
    lost = await _end_of(here, pod)
    assert lost.code is not Code.CANCELED, "the SDK would stop watching"


async def test_control_planes_error_is_forwarded_unchanged(
    here: World, control: Control, pod: Pod
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        output = {"code": "resource_exhausted", "message": "the queue is full"}
        return web.json_response(output, status=429)

    control.answers["Enqueue"] = refuse
    with pytest.raises(ConnectError) as refused:
        await _actions(here, pod).enqueue(
            EnqueueRequest(action=Action(action_id=_ROOT, parent_action_name="a0"))
        )
    assert refused.value.code is Code.RESOURCE_EXHAUSTED
    assert refused.value.message == "the queue is full"


async def test_call_without_control_plane_is_unavailable(
    kube_api: KubeForTests, tmp_path: Path
) -> None:
    async with world(kube_api, tmp_path, "http://127.0.0.1:9") as here:
        pod = await here.pod()
        with pytest.raises(ConnectError) as refused:
            await _actions(here, pod).enqueue(
                EnqueueRequest(action=Action(action_id=_ROOT, parent_action_name="a0"))
            )
        assert refused.value.code is Code.UNAVAILABLE
        assert "try again" in refused.value.message
        assert (await _end_of(here, pod)).code is Code.UNAVAILABLE


async def test_busy_pod_leaves_capacity_for_others(here: World, control: Control, pod: Pod) -> None:
    arrived, go_on = 0, asyncio.Event()

    async def wait(_: web.Request) -> web.StreamResponse:
        nonlocal arrived
        arrived += 1
        if arrived <= proxy_limits.CALLS_OF_POD:
            await go_on.wait()
        return web.Response(body=b"", content_type="application/proto")

    control.answers["Enqueue"] = wait
    request = EnqueueRequest(action=Action(action_id=_ROOT, parent_action_name="a0"))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3 * proxy_limits.CALLS_OF_POD):
            tasks.create_task(_actions(here, pod).enqueue(request))
        await until(lambda: arrived == proxy_limits.CALLS_OF_POD)

        other = await here.pod("r1", action="a1")
        others = EnqueueRequest(action=Action(action_id=_ROOT, parent_action_name="a1"))
        await _actions(here, other).enqueue(others)
        assert arrived == proxy_limits.CALLS_OF_POD + 1, "only the other pod's has come"
        go_on.set()
    assert arrived == 3 * proxy_limits.CALLS_OF_POD + 1


async def test_streams_of_one_pod_are_counted(here: World, control: Control, pod: Pod) -> None:
    async def updates() -> AsyncIterator[bytes]:
        yield envelope(_update())
        await forever()

    control.stream("WatchForUpdates", updates)
    actions = _actions(here, pod)
    async with asyncio.TaskGroup() as tasks:
        open_streams = [
            tasks.create_task(_read(actions.watch_for_updates(_WATCH)))
            for _ in range(proxy_limits.STREAMS_OF_POD)
        ]
        await until(lambda: here.proxy.counts.streams == proxy_limits.STREAMS_OF_POD)
        assert (await _end_of(here, pod)).code is Code.RESOURCE_EXHAUSTED
        for each in open_streams:
            each.cancel()


async def _read(stream: AsyncIterator[Any]) -> None:
    with suppress(ConnectError):  # by the test that cancels it
        async for _ in stream:
            pass


async def test_stopping_proxy_ends_streams_with_unavailable(here: World, control: Control) -> None:
    """Two replicas have one authority, and either takes any pod's token."""

    async def updates() -> AsyncIterator[bytes]:
        yield envelope(_update())
        await forever()

    control.stream("WatchForUpdates", updates)
    control.say("Enqueue", EnqueueResponse())
    last_reported: list[ConnectError] = []

    async def watch(proxy: World, pod: Pod) -> None:
        last_reported.append(await _end_of(proxy, pod))

    pod = await here.pod()
    async with asyncio.TaskGroup() as tasks, here.second(control.url) as second:
        assert second.proxy.authority.certificate == here.proxy.authority.certificate
        tasks.create_task(watch(second, pod))
        await until(lambda: second.proxy.counts.streams == 1)
    await _actions(here, pod).enqueue(
        EnqueueRequest(action=Action(action_id=_ROOT, parent_action_name="a0"))
    )
    assert last_reported[0].code is Code.UNAVAILABLE
    assert "connect again" in last_reported[0].message


async def test_handshake_under_way_at_the_stop_is_ended(here: World, control: Control) -> None:
    async with here.second(control.url) as second:
        reader, writer = await asyncio.open_connection(second.address, second.proxy.port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = second.trust().wrap_bio(incoming, outgoing, server_hostname=second.address)
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        writer.write(outgoing.read())
        incoming.write(await reader.read(64 * 1024))  # the server's half of the handshake
    with suppress(ConnectionError):  # reset, or closed
        assert await reader.read() == b""
    writer.close()


async def test_fence_endpoint_follows_the_control_plane_heartbeat(
    kube_api: KubeForTests, control: Control, tmp_path: Path
) -> None:
    fresh: Callable[[], bool] = [True, False].pop
    async with (
        world(kube_api, tmp_path, control.url, is_fresh=fresh) as here,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=here.trust())) as http,
    ):
        statuses = []
        for _ in range(2):
            async with http.get(f"{here.url}/fence") as answer:
                statuses.append(answer.status)
    assert statuses == [503, 200]
