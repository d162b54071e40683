"""A clustered task, from the SDK to its JobSet and back; the test plays the operator."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.integration.replicas.world import wait_until as wait_for
from tests.kube.api.whole import places, without_a_node
from tests.kube.client import Json, KubeClient, wait_until
from tests.kube.controlplane import KubeForTests
from tests.kube.node.examples.world import TASKS, World
from tests.servers.postgres import PostgresForTests
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte

_JOBSETS = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{TASKS}/jobsets"


@pytest.fixture
async def prepared(api: KubeClient, task_actions: None) -> AsyncIterator[None]:
    del task_actions
    async with places(api, {}):
        yield


@pytest.fixture
def world(
    kube_api: KubeForTests, postgres_server: PostgresForTests, prepared: None, tmp_path: Path
) -> Iterator[World]:
    del prepared
    with (
        postgres_server.migrated() as database,
        without_a_node(kube_api, database, tmp_path / "world") as world,
    ):
        world.start_agent()
        wait_for(world.control.has_agent, "the agent is connected", output=world.output)
        yield world


async def test_clustered_task_ends_with_its_jobset(
    world: World, api: KubeClient, tmp_path: Path
) -> None:
    client: ApiClient = world.control.api
    flyte = Flyte(world, tmp_path, place=Path(__file__).parent)
    root = action_id(flyte("run", "training.py", "train").run)
    try:
        jobset = await _find_jobset(api)
        (replicated,) = jobset["spec"]["replicatedJobs"]
        pod = replicated["template"]["spec"]["template"]
        assert pod["metadata"]["labels"]["volary.dev/run"] == root.run.name
        (container,) = pod["spec"]["containers"]
        assert (container["image"], container["args"][0]) == (
            "registry.example/team/training:1",
            "clustered",
        )
        path = f"{_JOBSETS}/{jobset['metadata']['name']}"
        await api.patch(f"{path}/status", {"status": _completed()})
        await client.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED)
    except AssertionError as error:
        raise AssertionError(world.output()) from error


async def _find_jobset(api: KubeClient) -> Json:
    async def is_there() -> bool:
        return bool(await api.list(_JOBSETS))

    await wait_until(is_there, "there is a JobSet")
    (jobset,) = await api.list(_JOBSETS)
    return jobset


def _completed() -> Json:
    condition = {
        "type": "Completed",
        "status": "True",
        "reason": "AllJobsCompleted",
        "message": "jobset completed successfully",
        "lastTransitionTime": "2026-06-01T12:00:00Z",
    }
    return {"conditions": [condition]}
