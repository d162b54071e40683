"""Resources may exist although the agent has not seen them: a late cache, a lost answer."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import UnreachableError
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import POD
from dataplane.agent.kube.requests import Request
from dataplane.agent.kube.transport import Transport
from dataplane.agent.runtimes.kubernetes import resource, runtime_limits
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from shared.kit.backoff import Backoff
from shared.model.phases import Phase
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.attempts import Agent
from tests.kube.client import KubeClient

SIDE = {"name": "side", "image": "side:1"}
MAIN = {"name": "primary", "image": "main:1"}


class Deaf(Informer):
    """It has listed all there was, and its watch has died without a word."""

    async def synced(self) -> None:
        pass


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_limits, "RECONCILE_INTERVAL", timedelta(milliseconds=100))
    monkeypatch.setattr(resource, "_UNSEEN_FOR", timedelta(milliseconds=100))


def deafen(agent: Agent, kube: Kube | None = None) -> None:
    cluster = agent.cluster
    deaf = Deaf(cluster.kube, POD, clock=cluster.clock)
    cluster = replace(cluster, kube=kube or cluster.kube, informers={POD: deaf})
    agent.runtime = KubernetesRuntime(cluster, [PodPlugin()])


async def test_pod_missing_in_a_late_cache_is_adopted(
    begin: Begin, kubelet: Kubelet, soon: None
) -> None:
    """A standby takes over in seconds; that its watch is dead it may notice in a minute."""
    del soon
    async with begin() as first:
        job = await first.jobs.make("true")
        path = first.jobs.path(job)
        attempt = await first.start(job)
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        await attempt.release()

    async with begin() as second:
        deafen(second)
        attempt = await second.start(replace(job, last_reported=Phase.RUNNING))
        await attempt.last_reported.until(Phase.RUNNING)
        await kubelet.end(path, 0)
        end = await attempt.end()

    assert end.phase is Phase.SUCCEEDED, end.failure


async def test_failure_waits_for_a_pod_missing_in_a_late_cache(
    begin: Begin, kubelet: Kubelet, api: KubeClient, soon: None
) -> None:
    del soon
    async with begin() as first:
        job = await first.jobs.make(pod={"containers": [MAIN, SIDE]})
        path = first.jobs.path(job)
        attempt = await first.start(job)
        await kubelet.run(path)
        await kubelet.say(path, "Running", {"terminated": {"exitCode": 3, "reason": "Error"}})
        await api.wait_for(path, lambda pod: "deletionTimestamp" in pod["metadata"])
        await attempt.release()

    async with begin() as second:
        deafen(second)
        asked = second.cluster.kube.requests
        attempt = await second.start(replace(job, last_reported=Phase.RUNNING))
        async with asyncio.timeout(60):
            while asked["get", "pods", 200] < 3:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
        assert not attempt.run.done()
        await kubelet.finish(path)
        end = await attempt.end()

    assert end.failure is not None
    assert end.failure.code == "NonZeroExit"


class Unanswered:
    """Carries out the first creation of a pod, and loses the answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.requests = transport.requests
        self.lost = 0

    async def request_json(self, request: Request, *, at_most: timedelta) -> dict[str, Any]:
        answer = await self._transport.request_json(request, at_most=at_most)
        if request.verb == "create" and request.kind == POD and not self.lost:
            self.lost += 1
            raise UnreachableError("the connection broke")
        return answer


async def test_abort_after_an_unanswered_creation_leaves_no_pod(
    begin: Begin, api: KubeClient, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del soon
    once = Backoff(first=timedelta(minutes=1), at_most=timedelta(minutes=1))
    monkeypatch.setattr(runtime_limits, "QUOTA_BACKOFF", once)  # it tries no more
    async with begin() as agent:
        unanswered = Unanswered(agent.cluster.kube._transport)
        deafen(agent, Kube(cast("Transport", unanswered), retry_timeout=timedelta(0)))
        job = await agent.jobs.make("true")
        attempt = await agent.start(job)
        await attempt.last_reported.until(Phase.WAITING_FOR_RESOURCES, "KubernetesUnavailable")
        assert await api.exists(agent.jobs.path(job))
        attempt.stop.set()
        end = await attempt.end()

    assert end.phase is Phase.ABORTED
    assert not await api.exists(agent.jobs.path(job))
