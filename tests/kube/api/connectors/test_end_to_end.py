"""A connector's task, from the SDK through control plane and agent to the connector."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.integration.connectors.world import Server, serving
from tests.integration.replicas.world import wait_until
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.kube.node.examples.world import NAMESPACE, TASKS, World, running
from tests.servers import seaweed
from tests.servers.kubernetes import NodeForTests
from tests.servers.postgres import PostgresForTests
from tests.system.commands import Flyte
from tests.system.door import Door, action_id

_NAMESPACES = "/api/v1/namespaces"
_MACHINE = "127.0.0.1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def namespaces(api: KubeClient, task_actions: None) -> AsyncIterator[None]:
    """Where the agent is and where its tasks would be, with the secret that one of them names."""
    del task_actions
    secret = {
        "metadata": {"name": "volary-secrets"},
        "stringData": {"service-token": "hush"},
    }
    for name in (NAMESPACE, TASKS):
        await api.create(_NAMESPACES, {"metadata": {"name": name}})
    await api.create(f"{_NAMESPACES}/{TASKS}/secrets", secret)
    yield
    for name in (NAMESPACE, TASKS):
        await api.delete(f"{_NAMESPACES}/{name}")


@pytest.fixture
def world(
    kube_api: KubeForTests,
    postgres_server: PostgresForTests,
    server: Server,
    namespaces: None,
    tmp_path: Path,
) -> Iterator[World]:
    del namespaces
    place = SimpleNamespace(network=SimpleNamespace(machine=_MACHINE))
    no_node = cast("NodeForTests", SimpleNamespace(kube=kube_api, place=place))
    with (
        seaweed.running(_MACHINE) as s3,
        postgres_server.migrated() as database,
        running(World(tmp_path / "world", no_node, s3, database)) as world,
    ):
        world.start_agent("--connectors", str(server.endpoint))
        wait_until(world.control.has_agent, "the agent is connected", said=world.said)
        yield world


async def test_a_task_of_a_connector_runs_in_its_service(
    world: World, server: Server, tmp_path: Path
) -> None:
    flyte = Flyte(world, tmp_path, place=Path(__file__).parent)
    door: Door = world.control.door

    root = action_id(flyte("run", "query.py", "query", "--n", "7").run)
    try:
        details = await door.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED)
    except AssertionError as error:
        raise AssertionError(world.said()) from error

    assert await door.outputs(root) == [42]
    (job,) = server.jobs.created
    asked = server.jobs.asked(job)
    assert (asked["inputs"], asked["secrets"]) == ({"n": 7}, {"token": "hush"})
    assert details.attempts[-1].attempt == 1
    assert "7 rows" in await door.log(root)
