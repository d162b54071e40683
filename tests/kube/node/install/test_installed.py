"""Both charts' own pods, of images as they are released, and Ada's workflows on them."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.kube.client import Json, KubeClient, wait_until
from tests.kube.node.install.world import (
    AGENT,
    AGENTS,
    CONTROL_PLANE,
    LEASE,
    PLANE,
    TASKS,
    Installation,
)
from tests.system.commands import Flyte
from tests.system.door import Door, action_id

EXAMPLES = Path(__file__).parents[4] / "examples"
_REFUSED = re.compile(r'^volary_agent_kube_requests_total\{code="40[13]".*$', re.MULTILINE)
_WITHIN_MS = 300_000  # eight pods, each of which imports the SDK
_ATTEMPT = ("volary.dev/run", "volary.dev/action", "volary.dev/attempt")


@pytest.fixture(scope="module")
def ada(installation: Installation) -> Flyte:
    return installation.flyte(EXAMPLES)


async def test_the_doctor_finds_nothing_wrong_from_inside(
    installation: Installation, kube: KubeClient
) -> None:
    for pod in await installation.pods(kube, AGENTS, "agent"):
        said = await asyncio.to_thread(installation.doctor, pod["metadata"]["name"])
        for words in (
            "knows this agent as cluster local",
            "all that is needed is granted",
            "in touch with the control plane",
            "signed links are good",
        ):
            assert words in said


async def test_the_cluster_example_runs_on_both_charts(
    installation: Installation, kube: KubeClient, ada: Flyte
) -> None:
    with installation.door() as door:
        root = await _begin(ada)
        await _has_come_through(installation, kube, door, root)
    async with httpx.AsyncClient() as asking:
        for pod in await installation.pods(kube, AGENTS, "agent"):
            answer = await asking.get(f"http://{pod['status']['podIP']}:9102/metrics")
            assert "volary_agent_kube_requests_total" in answer.text
            assert not _REFUSED.findall(answer.text)  # the chart's roles suffice


async def _begin(ada: Flyte) -> ActionIdentifier:
    said = await asyncio.to_thread(ada, "run", "cluster.py", "main", "--words", "40")
    return action_id(said.run)


async def _has_come_through(
    there: Installation, kube: KubeClient, door: Door, root: ActionIdentifier
) -> None:
    """Wait for its end: it did what its first lines say, and nothing ran twice."""
    try:
        await door.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED, within_ms=_WITHIN_MS)
    except (AssertionError, ConnectError) as error:
        raise AssertionError(f"{error}\n{await there.said(kube)}") from error
    assert await door.outputs(root) == ["Hi! 6, 40 words, attempt 1"]
    attempts = {
        action.metadata.task.short_name: len((await door.details(action.id)).attempts)
        for action in await door.children(root)
    }
    assert attempts == {"double": 1, "count": 1, "flaky": 2, "endless": 1}


async def test_what_runs_goes_on_while_everything_is_replaced(
    installation: Installation, kube: KubeClient, ada: Flyte
) -> None:
    """The pod that leads is killed, then both releases are upgraded, with a run under way."""
    root = await _begin(ada)
    async with _witnessed(kube, root) as made:
        await wait_until(_is_so(lambda: len(made) >= 3), "tasks are pods", within=120)
        await _replace_everything(installation, kube)
        with installation.door() as door:
            await _has_come_through(installation, kube, door, root)
    assert max(Counter(made.values()).values()) == 1


async def _replace_everything(installation: Installation, kube: KubeClient) -> None:
    lease = await kube.get(LEASE)
    # Not as a pod that is deleted is stopped: its processes are gone, and nobody was told.
    container = next(
        status["containerID"].removeprefix("containerd://")
        for pod in await installation.pods(kube, AGENTS, "agent")
        if pod["metadata"]["name"] == lease["spec"]["holderIdentity"]
        for status in pod["status"]["containerStatuses"]
    )
    installation.node.place.ctr("task", "kill", "--signal", "SIGKILL", container)

    renewed = (await kube.get(LEASE))["spec"]["renewTime"]
    await kube.wait_for(LEASE, lambda lease: bool(lease["spec"]["renewTime"] != renewed))
    for chart, namespace, values in (
        (CONTROL_PLANE, PLANE, installation.control_plane_values()),
        (AGENT, AGENTS, installation.agent_values()),
    ):
        changed = {**values, "log": {"level": "debug"}}
        await asyncio.to_thread(installation.run_helm, "upgrade", chart, namespace, changed)
    await installation.wait_until_ready(kube)


@pytest.mark.parametrize(
    ("namespace", "program"), [(AGENTS, "agent"), (PLANE, "controlplane")], ids=["agent", "plane"]
)
async def test_process_one_is_the_program_and_ends_well_when_told_to(
    installation: Installation, kube: KubeClient, namespace: str, program: str
) -> None:
    pod = (await installation.pods(kube, namespace, program))[0]["metadata"]["name"]
    tell = ("python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
    installation.node.kube.kubectl("exec", "-n", namespace, pod, "-c", program, "--", *tell)

    def has_ended_well(pod: Json) -> bool:
        (status,) = (each for each in pod["status"]["containerStatuses"] if each["name"] == program)
        return bool(status["lastState"].get("terminated", {}).get("exitCode") == 0)

    await kube.wait_for(f"/api/v1/namespaces/{namespace}/pods/{pod}", has_ended_well, within=60)
    await installation.wait_until_ready(kube)


@asynccontextmanager
async def _witnessed(
    kube: KubeClient, root: ActionIdentifier
) -> AsyncIterator[Mapping[str, tuple[str, ...]]]:
    """Note every pod of a run that there ever is: whose attempt it is, by its own identity."""
    pods = f"/api/v1/namespaces/{TASKS}/pods"
    mine = {"labelSelector": f"volary.dev/run={root.run.name}"}
    made: dict[str, tuple[str, ...]] = {}

    def note(pod: Json) -> None:
        labels = pod["metadata"]["labels"]
        made[pod["metadata"]["uid"]] = tuple(labels[label] for label in _ATTEMPT)

    async def look(since: str) -> None:
        async with aclosing(kube.watch(pods, since=since, **mine)) as changes:
            async for change in changes:
                note(change["object"])

    listed = await kube.get(pods, **mine)
    for pod in listed["items"]:
        note(pod)
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look(listed["metadata"]["resourceVersion"]))
        yield made
        looking.cancel()


def _is_so(fact: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return fact()

    return ask
