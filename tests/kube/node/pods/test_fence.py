"""The kubelet as fence: it asks the door, and ends what may run elsewhere by now."""

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
class FakeDoor:
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
async def door(kube_node: NodeForTests, tmp_path: Path) -> AsyncIterator[FakeDoor]:
    async with serving_door(kube_node.place.network.machine, tmp_path) as door:
        yield door


@asynccontextmanager
async def serving_door(machine: str, home: Path) -> AsyncIterator[FakeDoor]:
    identity = Authority(home / "door").issue("door", reached_at=[machine])
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(identity.certificate, identity.key)
    door = FakeDoor(machine, 0)
    async with await asyncio.start_server(door.answer, machine, 0, ssl=trust) as server:
        door.port = server.sockets[0].getsockname()[1]
        yield door


def make_pod(namespace: str, door: FakeDoor) -> Object:
    """Return the pod of a replaceable task that runs for minutes."""
    task = make_raw(
        image=flyte.Image.from_base(TASK_IMAGE),
        command=["python", "-c", _SAYS_WHEN],
        arguments=[],
    )
    task.task.template.container.ClearField("data_config")
    job = replace(task, assignment=replace(task.assignment, replaceable=True))
    cluster = replace(CLUSTER, fence=door.fence, defaults={"cpu": "100m", "memory": "64Mi"})
    return cluster.build(job, name_attempt(job.assignment, namespace.rpartition("/")[2]))


async def start(api: KubeClient, namespace: str, door: FakeDoor) -> str:
    authority = {"metadata": {"name": "volary-door"}, "data": {"ca.crt": "none"}}
    await api.create(f"{namespace}/configmaps", authority)
    made = await api.create(f"{namespace}/pods", make_pod(namespace, door))
    return f"{namespace}/pods/{made['metadata']['name']}"


def has_failed(pod: Object) -> bool:
    return bool(pod["status"]["phase"] == "Failed")


def is_alive(pod: Object) -> bool:
    return any(bool(each.get("started")) for each in pod["status"].get("containerStatuses") or ())


async def test_a_task_lives_while_the_door_says_so_and_no_longer(
    node_api: KubeClient, node_namespace: str, door: FakeDoor
) -> None:
    pod = await start(node_api, node_namespace, door)
    await node_api.wait_for(pod, is_alive)

    door.status = "503 Service Unavailable"

    closed = SystemClock().now()
    ended = await node_api.wait_for(pod, has_failed, within=90)
    (status,) = ended["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] in {137, 143}
    assert status["restartCount"] == 0
    at = datetime.fromisoformat(status["state"]["terminated"]["finishedAt"])
    assert at - closed <= door.fence.takes


async def test_a_task_that_begins_behind_a_closed_fence_hardly_begins(
    node_api: KubeClient, node_namespace: str, door: FakeDoor
) -> None:
    door.status = "503 Service Unavailable"
    pod = await start(node_api, node_namespace, door)

    ended = await node_api.wait_for(pod, has_failed, within=60)
    (status,) = ended["status"]["containerStatuses"]
    ran = seconds(status["state"]["terminated"], "startedAt", "finishedAt")
    assert ran < door.fence.takes.total_seconds() / 4


def seconds(state: Object, first: str, last: str) -> float:
    return (
        datetime.fromisoformat(state[last]) - datetime.fromisoformat(state[first])
    ).total_seconds()
