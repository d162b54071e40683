"""Agents that come and go, aborts, and a node that does not answer any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.kube import nodes
from tests.kube.client import Json, KubeClient
from tests.kube.node.runtime.conftest import Begin
from tests.kube.node.runtime.test_endings import code_of, is_quiet, make_pod
from tests.servers.kubernetes import NodeForTests


async def test_abort_is_reported_after_the_pod_has_ended(
    begin: Begin, node_api: KubeClient
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("echo begun; sleep 600")
        attempt = await agent.start(job)
        await anext(agent.runtime.follow(job.assignment.attempt, 0))
        attempt.stop.set()
        end = await attempt.end()
        assert await is_quiet(node_api, agent.jobs.path(job))

    assert end.phase is Phase.ABORTED
    assert end.log_uri


async def test_next_agent_adopts_running_attempts(begin: Begin, node_api: KubeClient) -> None:
    async with begin() as first:
        job = await first.jobs.make("sleep 3; echo done")
        attempt = await first.start(job)
        await attempt.last_reported.until(Phase.RUNNING)
        uid = (await node_api.get(first.jobs.path(job)))["metadata"]["uid"]
        await attempt.release()

    async with begin() as second:
        going_on = await second.start(replace(job, last_reported=Phase.RUNNING))
        end = await going_on.end()
        pod = await node_api.get(second.jobs.path(job))

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert pod["metadata"]["uid"] == uid
    before = {event for update in attempt.last_reported.all for event in update.events}
    after = {event for update in [*going_on.last_reported.all, end] for event in update.events}
    assert before
    assert not before & after


async def test_pod_on_a_lost_node_is_released_once_it_cannot_report(
    begin: Begin, node_api: KubeClient, kube_node: NodeForTests
) -> None:
    pod = make_pod("sleep 600", pod_terminationGracePeriodSeconds=1)
    pod["tolerations"] = [
        {
            "key": f"node.kubernetes.io/{sort}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 1,
        }
        for sort in ("not-ready", "unreachable")
    ]
    async with begin(lost_after=timedelta(seconds=2)) as agent:
        job = await agent.jobs.make(pod=pod)
        attempt = await agent.start(job)
        await attempt.last_reported.until(Phase.RUNNING)
        async with asyncio.timeout(180), another_node(node_api):
            with kube_node.kubelet.held_up():
                await node_api.wait_for(
                    agent.jobs.path(job),
                    lambda it: "deletionTimestamp" in it["metadata"],
                    within=80,
                )
                end = await attempt.end(within=60)
                assert not await node_api.exists(agent.jobs.path(job))
        await node_api.wait_for(f"/api/v1/nodes/{nodes.NAME}", _is_ready, within=60)

    assert code_of(end) == ("NodeLost", FailureKind.SYSTEM)


@asynccontextmanager
async def another_node(api: KubeClient) -> AsyncIterator[None]:
    """A node that is well: where all fall silent, Kubernetes evicts nothing."""
    path = "/api/v1/nodes/well"
    node = {"metadata": {"name": "well"}, "spec": {"unschedulable": True}}

    async def beat() -> None:
        while True:
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"  # noqa: TID251 - as a kubelet has it
            well = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "reason": "Well"}
            await api.patch(f"{path}/status", {"status": {"conditions": [well]}})
            await asyncio.sleep(1)

    await api.create("/api/v1/nodes", node)
    try:
        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(beat())
            yield
            beating.cancel()
    finally:
        await api.delete(path)


def _is_ready(it: Json) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in it["status"]["conditions"]
    )
