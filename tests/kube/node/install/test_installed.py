"""The chart's own pods on a real node: they become ready, do the work, and need no more rights."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from connectrpc.errors import ConnectError
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.integration.replicas.world import wait_until
from tests.kube.certificates import Authority
from tests.kube.client import KubeClient
from tests.kube.node.examples.world import World, running
from tests.kube.node.install.world import HOME, TASKS, Installation, fronts
from tests.servers import seaweed
from tests.servers.helm import Helm, helm
from tests.servers.kubernetes import NodeForTests
from tests.servers.postgres import PostgresForTests
from tests.system.commands import Flyte
from tests.system.door import action_id

__all__ = ["helm"]

EXAMPLES = Path(__file__).parents[4] / "examples"
_REFUSED = re.compile(r'^volary_agent_kube_requests_total\{code="40[13]".*$', re.MULTILINE)


@pytest.fixture(scope="module")
def installation(
    kube_node: NodeForTests,
    postgres_server: PostgresForTests,
    helm: Helm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installed")
    machine = kube_node.place.network.machine
    authority = Authority(home / "authority")
    shows = authority.issue("front", reached_at=[machine])

    async def with_client(work: Callable[[KubeClient], Awaitable[None]]) -> None:
        async with kube_node.kube.client() as kube:
            await work(kube)

    with (
        seaweed.running(machine) as s3,
        postgres_server.migrated() as database,
        running(World(home / "world", kube_node, s3, database)) as world,
        fronts(
            machine, shows, {"h2": world.control.link_port, "http/1.1": world.control.http_port}
        ) as ports,
    ):
        there = Installation(
            world=world,
            helm=helm.with_cluster(kube_node.kube.kubeconfig()),
            authority=authority,
            link_port=ports["h2"],
            api_port=ports["http/1.1"],
        )
        asyncio.run(with_client(there.install))
        wait_until(world.control.has_agent, "the agent is connected", said=world.said)
        yield there
        asyncio.run(with_client(there.uninstall))


@pytest.fixture
async def kube(kube_node: NodeForTests) -> AsyncIterator[KubeClient]:
    async with kube_node.kube.client() as client:
        yield client


@pytest.fixture(scope="module")
def flyte(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Flyte:
    return Flyte(installation.world, tmp_path_factory.mktemp("home"), place=EXAMPLES)


async def test_the_doctor_finds_nothing_wrong_from_inside(
    installation: Installation, kube: KubeClient
) -> None:
    for pod in await installation.agents(kube):
        said = await asyncio.to_thread(installation.doctor, pod["metadata"]["name"])
        for words in (
            "knows this agent as cluster local",
            "all that is needed is granted",
            "in touch with the control plane",
            "signed links are good",
            f"{TASKS} is there",
        ):
            assert words in said


async def test_a_task_runs_with_the_rights_that_the_chart_gives(
    installation: Installation, kube: KubeClient, flyte: Flyte
) -> None:
    await _run_hello(installation, kube, flyte, "chart")
    async with httpx.AsyncClient() as asking:
        for pod in await installation.agents(kube):
            answer = await asking.get(f"http://{pod['status']['podIP']}:9102/metrics")
            assert "volary_agent_kube_requests_total" in answer.text
            assert not _REFUSED.findall(answer.text)


async def test_work_goes_on_when_the_pod_that_leads_is_deleted(
    installation: Installation, kube: KubeClient, flyte: Flyte
) -> None:
    lease = await kube.get(f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/volary-agent")
    leads = lease["spec"]["holderIdentity"]
    assert leads in {pod["metadata"]["name"] for pod in await installation.agents(kube)}
    await kube.delete(f"/api/v1/namespaces/{HOME}/pods/{leads}")
    await _run_hello(installation, kube, flyte, "successor")


async def _run_hello(there: Installation, kube: KubeClient, flyte: Flyte, name: str) -> None:
    door = there.world.control.door
    root = action_id(flyte("run", "hello.py", "main", "--name", name).run)
    try:
        await door.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED)
        assert await door.result(root) == [f"Hello, {name}!"]
    except (AssertionError, ConnectError) as error:
        raise AssertionError(f"{error}\n{await there.said(kube)}") from error
