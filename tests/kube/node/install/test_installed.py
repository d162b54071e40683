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
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte

EXAMPLES = Path(__file__).parents[4] / "examples"
_REFUSED = re.compile(r'^volary_agent_kube_requests_total\{code="40[13]".*$', re.MULTILINE)
_WITHIN_MS = 300_000  # eight pods, each of which imports the SDK
_PODS = f"/api/v1/namespaces/{TASKS}/pods"
_ATTEMPT = ("volary.dev/run", "volary.dev/action", "volary.dev/attempt")


@pytest.fixture(scope="module")
def ada(installation: Installation) -> Flyte:
    return installation.flyte(EXAMPLES)


async def test_doctor_passes_inside_the_cluster(
    installation: Installation, kube: KubeClient
) -> None:
    for pod in await installation.pods(kube, AGENTS, "agent"):
        output = await asyncio.to_thread(installation.doctor, pod["metadata"]["name"])
        for words in (
            "accepts this agent as cluster local",
            "rules that are needed are granted",
            "connected to the control plane",
            "signed links work",
        ):
            assert words in output


async def test_cluster_example_survives_a_killed_agent(
    installation: Installation, kube: KubeClient, ada: Flyte
) -> None:
    root = await _begin(ada, "cluster.py", "main", "--words", "40")
    async with _witnessed(kube, root) as made:
        await wait_until(_is_so(lambda: len(made) >= 3), "tasks are pods", within=120)
        await _kill_leader(installation, kube)
        with installation.client() as client:
            try:
                main = await client.phase(
                    root, ActionPhase.ACTION_PHASE_SUCCEEDED, within_ms=_WITHIN_MS
                )
            except (AssertionError, ConnectError) as error:
                raise AssertionError(f"{error}\n{await installation.output(kube)}") from error
            # The secret, the fan-out, what the raw container counted, the second attempt.
            assert await client.outputs(root) == ["Hi! 6, 40 words, attempt 1"]
            assert main.attempts[-1].outputs.report_uri.endswith("/report.html")
            attempts = await _attempts_of(client, root)
    assert attempts == {"double": 1, "count": 1, "flaky": 2, "endless": 1}
    assert max(Counter(made.values()).values()) == 1  # no attempt was ever two pods
    async with httpx.AsyncClient() as asking:
        for pod in await installation.pods(kube, AGENTS, "agent"):
            answer = await asking.get(f"http://{pod['status']['podIP']}:9102/metrics")
            assert "volary_agent_kube_requests_total" in answer.text
            assert not _REFUSED.findall(answer.text)  # the chart's roles suffice


async def test_running_tasks_survive_upgrades_of_both_releases(
    installation: Installation, kube: KubeClient, ada: Flyte
) -> None:
    root = await _begin(ada, "endless.py", "main")
    async with _witnessed(kube, root) as made:
        await wait_until(_is_so(lambda: len(made) == 3), "tasks are pods", within=120)
        for chart, namespace, values in (
            (CONTROL_PLANE, PLANE, installation.control_plane_values()),
            (AGENT, AGENTS, installation.agent_values()),
        ):
            changed = {**values, "log": {"level": "debug"}}
            await asyncio.to_thread(installation.run_helm, "upgrade", chart, namespace, changed)
        await installation.wait_until_ready(kube)
        with installation.client() as client:
            await client.phase(root, ActionPhase.ACTION_PHASE_RUNNING)
            await asyncio.to_thread(ada, "abort", "run", root.run.name)
            await client.phase(root, ActionPhase.ACTION_PHASE_ABORTED)
            assert await _attempts_of(client, root) == {"tick": 1}
        assert len(made) == 3
        await wait_until(lambda: _has_no_pods(kube, root), "its pods are gone", within=90)


async def _begin(ada: Flyte, *example: str) -> ActionIdentifier:
    return action_id((await asyncio.to_thread(ada, "run", *example)).run)


async def _attempts_of(client: ApiClient, root: ActionIdentifier) -> Mapping[str, int]:
    """Count the attempts of each child, by the names of their tasks."""
    return {
        action.metadata.task.short_name: len((await client.details(action.id)).attempts)
        for action in await client.children(root)
    }


async def _has_no_pods(kube: KubeClient, root: ActionIdentifier) -> bool:
    return not await kube.list(_PODS, labelSelector=f"volary.dev/run={root.run.name}")


async def _kill_leader(installation: Installation, kube: KubeClient) -> None:
    """End it without notice, unlike a deleted pod. Return when a replica leads."""
    lease = await kube.get(LEASE)
    container = next(
        status["containerID"].removeprefix("containerd://")
        for pod in await installation.pods(kube, AGENTS, "agent")
        if pod["metadata"]["name"] == lease["spec"]["holderIdentity"]
        for status in pod["status"]["containerStatuses"]
    )
    installation.node.place.ctr("task", "kill", "--signal", "SIGKILL", container)
    renewed = (await kube.get(LEASE))["spec"]["renewTime"]
    await kube.wait_for(LEASE, lambda lease: bool(lease["spec"]["renewTime"] != renewed))


@pytest.mark.parametrize(
    ("namespace", "program"), [(AGENTS, "agent"), (PLANE, "controlplane")], ids=["agent", "plane"]
)
async def test_process_one_is_the_program_and_exits_with_0_on_sigterm(
    installation: Installation, kube: KubeClient, namespace: str, program: str
) -> None:
    pod = (await installation.pods(kube, namespace, program))[0]["metadata"]["name"]
    report_status = ("python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
    installation.node.kube.kubectl(
        "exec", "-n", namespace, pod, "-c", program, "--", *report_status
    )

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
    mine = {"labelSelector": f"volary.dev/run={root.run.name}"}
    made: dict[str, tuple[str, ...]] = {}

    def note(pod: Json) -> None:
        labels = pod["metadata"]["labels"]
        made[pod["metadata"]["uid"]] = tuple(labels[label] for label in _ATTEMPT)

    async def look(since: str) -> None:
        async with aclosing(kube.watch(_PODS, since=since, **mine)) as changes:
            async for change in changes:
                note(change["object"])

    listed = await kube.get(_PODS, **mine)
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
