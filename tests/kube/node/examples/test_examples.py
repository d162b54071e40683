"""The examples on a real cluster, as the unmodified SDK runs them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.integration.replicas.world import wait_until
from tests.kube.client import KubeClient
from tests.kube.node.examples.world import TASKS, World, running
from tests.servers import seaweed
from tests.servers.kubernetes import NodeForTests
from tests.servers.postgres import PostgresForTests
from tests.system.commands import Flyte
from tests.system.door import Door, action_id

EXAMPLES = Path(__file__).parents[4] / "examples"


@pytest.fixture(scope="module")
def world(
    kube_node: NodeForTests,
    postgres_server: PostgresForTests,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    home = tmp_path_factory.mktemp("cluster")
    with (
        seaweed.running(kube_node.place.network.machine) as s3,
        postgres_server.migrated() as database,
        running(World(home, kube_node, s3, database)) as world,
    ):
        asyncio.run(world.prepare())
        world.start_agent()
        wait_until(world.control.has_agent, "the agent is connected", said=world.said)
        yield world


@pytest.fixture(scope="module")
def flyte(world: World, tmp_path_factory: pytest.TempPathFactory) -> Flyte:
    return Flyte(world, tmp_path_factory.mktemp("home"), place=EXAMPLES)


@pytest.fixture
def door(world: World) -> Door:
    return world.control.door


async def test_the_cluster_example_comes_to_its_result(
    world: World, flyte: Flyte, door: Door, kube_node: NodeForTests
) -> None:
    root = action_id(flyte("run", "cluster.py", "main", "--words", "40").run)

    assert await door.result(root) == ["Hi! 6, 40 words, attempt 1"], world.said()

    async with kube_node.kube.client() as kube:
        await _no_pod_is_left_running(kube)


async def test_hello_runs_in_a_pod(flyte: Flyte, door: Door) -> None:
    root = action_id(flyte("run", "hello.py", "main", "--name", "pod").run)
    await door.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED)
    assert await door.result(root) == ["Hello, pod!"]


async def _no_pod_is_left_running(kube: KubeClient) -> None:
    pods = await kube.list(f"/api/v1/namespaces/{TASKS}/pods")
    for pod in pods:
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{TASKS}/pods/{name}"
        if pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            await kube.wait_until_gone(path)
