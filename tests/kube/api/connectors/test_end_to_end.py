"""A connector's task, from the SDK through control plane and agent to the connector."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.integration.connectors.world import Server, serving
from tests.integration.replicas.world import wait_until
from tests.kube.api.whole import places, without_a_node
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.kube.node.examples.world import World
from tests.servers.postgres import PostgresForTests
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def prepared(api: KubeClient, task_actions: None) -> AsyncIterator[None]:
    del task_actions
    async with places(api, {"service-token": "hush"}):
        yield


@pytest.fixture
def world(
    kube_api: KubeForTests,
    postgres_server: PostgresForTests,
    server: Server,
    prepared: None,
    tmp_path: Path,
) -> Iterator[World]:
    del prepared
    with (
        postgres_server.migrated() as database,
        without_a_node(kube_api, database, tmp_path / "world") as world,
    ):
        world.start_agent("--connectors", str(server.endpoint))
        wait_until(world.control.has_agent, "the agent is connected", output=world.output)
        yield world


async def test_connector_task_runs_in_its_service(
    world: World, server: Server, tmp_path: Path
) -> None:
    flyte = Flyte(world, tmp_path, place=Path(__file__).parent)
    client: ApiClient = world.control.api

    root = action_id(flyte("run", "query.py", "query", "--n", "7").run)
    try:
        await client.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED)
    except AssertionError as error:
        raise AssertionError(world.output()) from error

    assert await client.outputs(root) == [42]
    (job,) = server.jobs.created
    asked = server.jobs.asked(job)
    assert (asked["inputs"], asked["secrets"]) == ({"n": 7}, {"token": "hush"})
    assert "7 rows" in await client.log(root)
