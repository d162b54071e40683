"""The kubelet as fence: it asks the API proxy, and ends what may run elsewhere by now."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import flyte
import pytest

from dataplane.agent.kube.objects import Object, name_attempt
from dataplane.agent.runtimes.kubernetes.pods import Fence
from shared.kit.clock import SystemClock
from tests.kube.certificates import Authority
from tests.kube.client import KubeClient
from tests.kube.images import TASK_IMAGE
from tests.servers.kubernetes import NodeForTests
from tests.unit.agent.kubernetes.pods.sdk import CLUSTER, make_raw

_SAYS_WHEN = "import time; print('began', flush=True); time.sleep(600)"


@dataclass(slots=True)
class FakeProxy:
    """Answers each question with ``status``; counts them."""

    address: str
    port: int
    status: str = "200 OK"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    @property
    def fence(self) -> Fence:
        return Fence(host=self.address, port=self.port)


@pytest.fixture
async def proxy(kube_node: NodeForTests, tmp_path: Path) -> AsyncIterator[FakeProxy]:
    async with serving_proxy(kube_node.place.network.machine, tmp_path) as proxy:
        yield proxy


@asynccontextmanager
async def serving_proxy(machine: str, home: Path) -> AsyncIterator[FakeProxy]:
    identity = Authority(home / "proxy").issue("proxy", reached_at=[machine])
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(identity.certificate, identity.key)
    proxy = FakeProxy(machine, 0)
    async with await asyncio.start_server(proxy.answer, machine, 0, ssl=trust) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy


def make_pod(namespace: str, proxy: FakeProxy) -> Object:
    """Return the pod of a replaceable task that runs for minutes."""
    task = make_raw(
        image=flyte.Image.from_base(TASK_IMAGE),
        command=["python", "-c", _SAYS_WHEN],
        arguments=[],
    )
    task.task.template.container.ClearField("data_config")
    job = replace(task, assignment=replace(task.assignment, replaceable=True))
    cluster = replace(CLUSTER, fence=proxy.fence, defaults={"cpu": "100m", "memory": "64Mi"})
    return cluster.build(job, name_attempt(job.assignment, namespace.rpartition("/")[2]))


async def start(api: KubeClient, namespace: str, proxy: FakeProxy) -> str:
    authority = {"metadata": {"name": "volary-proxy"}, "data": {"ca.crt": "none"}}
    await api.create(f"{namespace}/configmaps", authority)
    made = await api.create(f"{namespace}/pods", make_pod(namespace, proxy))
    return f"{namespace}/pods/{made['metadata']['name']}"


def has_failed(pod: Object) -> bool:
    return bool(pod["status"]["phase"] == "Failed")


def is_alive(pod: Object) -> bool:
    return any(bool(each.get("started")) for each in pod["status"].get("containerStatuses") or ())


async def test_task_runs_while_the_proxy_fence_allows_it(
    node_api: KubeClient, node_namespace: str, proxy: FakeProxy
) -> None:
    pod = await start(node_api, node_namespace, proxy)
    await node_api.wait_for(pod, is_alive)

    proxy.status = "503 Service Unavailable"

    closed = SystemClock().now()
    ended = await node_api.wait_for(pod, has_failed, within=90)
    (status,) = ended["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] in {137, 143}
    assert status["restartCount"] == 0
    at = datetime.fromisoformat(status["state"]["terminated"]["finishedAt"])
    assert at - closed <= proxy.fence.takes


async def test_task_behind_a_closed_fence_is_stopped_in_seconds(
    node_api: KubeClient, node_namespace: str, proxy: FakeProxy
) -> None:
    proxy.status = "503 Service Unavailable"
    pod = await start(node_api, node_namespace, proxy)

    ended = await node_api.wait_for(pod, has_failed, within=60)
    (status,) = ended["status"]["containerStatuses"]
    ran = seconds(status["state"]["terminated"], "startedAt", "finishedAt")
    assert ran < proxy.fence.takes.total_seconds() / 4


def seconds(state: Object, first: str, last: str) -> float:
    return (
        datetime.fromisoformat(state[last]) - datetime.fromisoformat(state[first])
    ).total_seconds()
