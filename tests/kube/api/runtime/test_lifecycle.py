"""Agents that die at bad moments, an API server that does not answer, pods that go."""

import asyncio
from dataclasses import replace

from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.attempts import error_document
from tests.kube.client import KubeClient, wait_until
from tests.kube.controlplane import KubeForTests

SIDE = {"name": "side", "image": "side:1"}
MAIN = {"name": "primary", "image": "main:1"}


async def test_attempt_that_ended_without_an_agent_is_reported(
    begin: Begin, kubelet: Kubelet
) -> None:
    async with begin() as first:
        job = await first.jobs.make("true")
        path = first.jobs.path(job)
        attempt = await first.start(job)
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        await attempt.release()
    await kubelet.end(path, 0)

    async with begin() as second:
        end = await second.run(replace(job, last_reported=Phase.RUNNING))

    assert end.phase is Phase.SUCCEEDED


async def test_pod_of_an_agent_that_died_after_creation_is_adopted(
    begin: Begin, kubelet: Kubelet, api: KubeClient
) -> None:
    async with begin() as first:
        job = await first.jobs.make("true")
        path = first.jobs.path(job)
        attempt = await first.start(job)
        uid = (await kubelet.place(path))["metadata"]["uid"]
        await attempt.release()

    async with begin() as second:
        attempt = await second.start(job)
        await kubelet.end(path, 0)
        end = await attempt.end()

    assert end.phase is Phase.SUCCEEDED
    assert (await api.get(path))["metadata"]["uid"] == uid


async def test_failure_is_reported_after_the_pod_is_gone(begin: Begin, kubelet: Kubelet) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(pod={"containers": [MAIN, SIDE]})
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await kubelet.say(path, "Running", {"terminated": {"exitCode": 3, "reason": "Error"}})
        await kubelet.api.wait_for(path, lambda pod: "deletionTimestamp" in pod["metadata"])
        assert not attempt.run.done()
        await kubelet.finish(path)
        end = await attempt.end()

    assert end.failure is not None
    assert end.failure.code == "NonZeroExit"


async def test_agent_killed_before_its_report_leaves_the_recorded_outcome(
    begin: Begin, kubelet: Kubelet
) -> None:
    async with begin() as first:
        job = await first.jobs.make(pod={"containers": [MAIN, SIDE]})
        path = first.jobs.path(job)
        attempt = await first.start(job)
        await kubelet.run(path)
        await kubelet.say(path, "Running", {"terminated": {"exitCode": 3, "reason": "Error"}})
        await kubelet.api.wait_for(path, lambda pod: "deletionTimestamp" in pod["metadata"])
        await attempt.release()
    await kubelet.finish(path)

    async with begin() as second:
        end = await second.run(replace(job, last_reported=Phase.RUNNING))

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("NonZeroExit", FailureKind.USER)


async def test_outputs_of_the_sdk_prove_an_unobserved_success(
    begin: Begin, kubelet: Kubelet
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(args=["a0", "--name", "x"], outputs=["o0"])
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        agent.jobs.leave(job, "outputs.pb")
        await kubelet.finish(path)
        end = await attempt.end()

    assert end.phase is Phase.SUCCEEDED


async def test_task_error_is_reported_although_its_pod_is_gone(
    begin: Begin, kubelet: Kubelet
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(args=["a0", "--name", "x"])
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        agent.jobs.leave(job, "error.pb", error_document("ValueError", "no such thing"))
        await kubelet.finish(path)
        end = await attempt.end()

    assert end.failure is not None
    assert end.failure.code == "ValueError"


async def test_pending_reason_is_reported_once_however_reasons_alternate(
    begin: Begin, kubelet: Kubelet
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.place(path)
        for reason in ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
            await kubelet.wait(path, reason, f"the words of {reason}")
            if reason not in {update.reason for update in attempt.last_reported.all}:
                await attempt.last_reported.until(Phase.INITIALIZING, reason)
        await kubelet.say(path, "Running", {"running": {"startedAt": "2026-06-01T12:00:00Z"}})
        await attempt.last_reported.until(Phase.RUNNING)

    reasons = [
        update.reason for update in attempt.last_reported.all if update.phase is Phase.INITIALIZING
    ]
    assert len(reasons) == len(set(reasons))
    assert {"ErrImagePull", "ImagePullBackOff"} <= set(reasons)


async def test_log_links_name_the_pod(begin: Begin, kubelet: Kubelet) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        uri = "https://logs.example/{{.namespace}}/{{.podName}}"
        job.task.template.metadata.log_links.add(name="logs", uri=uri)
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        running = await attempt.last_reported.until(Phase.RUNNING)
        await kubelet.end(path, 0)
        end = await attempt.end()

    namespace, name = path.split("/")[4], path.rpartition("/")[2]
    assert [link.uri for link in running.log_links] == [f"https://logs.example/{namespace}/{name}"]
    assert list(end.log_links) == []


async def test_unreachable_api_server_fails_no_attempt(
    begin: Begin, kubelet: Kubelet, kube_api: KubeForTests
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        with kube_api.api_server.held_up():
            await asyncio.wait([attempt.run], timeout=1)
        assert not attempt.run.done()
        await kubelet.end(path, 0)
        end = await attempt.end()

    assert end.phase is Phase.SUCCEEDED


async def test_informer_lists_again_after_the_server_lost_its_history(
    begin: Begin, kubelet: Kubelet, kube_api: KubeForTests
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        await asyncio.to_thread(kube_api.forget_the_past)
        await kubelet.end(path, 0)
        end = await attempt.end()

    assert end.phase is Phase.SUCCEEDED


async def test_abort_of_an_unscheduled_pod_is_quick(begin: Begin, kubelet: Kubelet) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        attempt = await agent.start(job)
        await wait_until(lambda: kubelet.api.exists(agent.jobs.path(job)), "the pod is there")
        attempt.stop.set()
        end = await attempt.end(within=20)

    assert end.phase is Phase.ABORTED
    assert not await kubelet.api.exists(agent.jobs.path(job))


async def test_abort_right_after_creation_leaves_no_pod(begin: Begin, kubelet: Kubelet) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        attempt = await agent.start(job)
        created = ("create", "pods", 201)
        async with asyncio.timeout(60):
            while not agent.cluster.kube.requests[created]:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        attempt.stop.set()
        end = await attempt.end(within=20)

    assert end.phase is Phase.ABORTED
    assert not await kubelet.api.exists(agent.jobs.path(job))
