"""The examples on a real cluster, as the unmodified SDK runs them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from connectrpc.errors import ConnectError
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.integration.replicas.world import wait_until
from tests.kube.client import KubeClient
from tests.kube.node.examples.world import TASKS, World, running
from tests.servers import seaweed
from tests.servers.kubernetes import NodeForTests
from tests.servers.postgres import PostgresForTests
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte

_PODS = f"/api/v1/namespaces/{TASKS}/pods"
_WITHIN_MS = 300_000  # eight pods, each of which imports the SDK

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
        wait_until(world.control.has_agent, "the agent is connected", output=world.output)
        yield world


@pytest.fixture(scope="module")
def flyte(world: World, tmp_path_factory: pytest.TempPathFactory) -> Flyte:
    return Flyte(world, tmp_path_factory.mktemp("home"), place=EXAMPLES)


@pytest.fixture
def client(world: World) -> ApiClient:
    return world.control.api


async def test_cluster_example_does_what_its_docstring_says(
    world: World, flyte: Flyte, client: ApiClient, kube_node: NodeForTests
) -> None:
    root = action_id(flyte("run", "cluster.py", "main", "--words", "40").run)

    try:
        main = await client.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED, within_ms=_WITHIN_MS)
    except (AssertionError, ConnectError) as error:
        raise AssertionError(world.output()) from error

    # The secret, the fan-out, what the raw container counted, the attempt that came through.
    assert await client.outputs(root) == ["Hi! 6, 40 words, attempt 1"]
    assert main.attempts[-1].outputs.report_uri.endswith("/report.html")
    by_task = {action.metadata.task.short_name: action for action in await client.children(root)}
    assert by_task["endless"].status.phase == ActionPhase.ACTION_PHASE_ABORTED
    flaky = await client.ended(by_task["flaky"].id)
    assert [attempt.phase for attempt in flaky.attempts] == [
        ActionPhase.ACTION_PHASE_FAILED,
        ActionPhase.ACTION_PHASE_SUCCEEDED,
    ]
    assert flaky.attempts[0].error_info.code == "NonZeroExit"
    counted = await client.ended(by_task["count"].id)
    assert {event.reason for event in counted.attempts[0].cluster_events} >= {"Scheduled"}
    async with kube_node.kube.client() as kube:
        await _nothing_runs_any_more(kube)


async def test_hello_runs_in_a_pod_whose_log_outlives_it(
    flyte: Flyte, client: ApiClient, kube_node: NodeForTests
) -> None:
    root = action_id(flyte("run", "hello.py", "main", "--name", "pod").run)
    await client.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED, within_ms=_WITHIN_MS)
    assert await client.outputs(root) == ["Hello, pod!"]

    async with kube_node.kube.client() as kube:
        for pod in await kube.list(_PODS, labelSelector=f"volary.dev/run={root.run.name}"):
            await kube.delete(f"{_PODS}/{pod['metadata']['name']}", gracePeriodSeconds="0")

    assert "greeting pod" in await client.log(root)


async def _nothing_runs_any_more(kube: KubeClient) -> None:
    """An aborted pod is given its grace; then it is gone."""
    for pod in await kube.list(_PODS):
        if pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            await kube.wait_until_gone(f"{_PODS}/{pod['metadata']['name']}")
