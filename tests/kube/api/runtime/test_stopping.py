"""A pod that ended by itself with its outputs has succeeded, whatever was asked meanwhile."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dataplane.agent.runtimes.protocol import Job
from shared.model.phases import Phase
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.attempts import Agent

SDK = ["a0", "--name", "x"]


async def stop_while_it_ends(
    agent: Agent,
    kubelet: Kubelet,
    job: Job,
    *,
    code: int,
    seconds: float = 0,
    files: tuple[str, ...],
) -> Phase:
    """Stop the attempt; its pod then ends as is said, in the moment in which it is deleted."""
    path = agent.jobs.path(job)
    attempt = await agent.start(job)
    await kubelet.run(path)
    await attempt.last_reported.until(Phase.RUNNING)
    attempt.stop.set()
    await kubelet.api.wait_for(path, lambda it: "deletionTimestamp" in it["metadata"])
    for name in files:
        agent.jobs.leave(job, name)
    await kubelet.end(path, code, seconds=seconds)
    await kubelet.finish(path)
    return (await attempt.end()).phase


@pytest.mark.parametrize(
    ("files", "code", "phase"),
    [
        (("outputs.pb",), 0, Phase.SUCCEEDED),
        ((), 0, Phase.ABORTED),
        ((), 143, Phase.ABORTED),
    ],
    ids=["done", "stopped in an orderly manner", "killed"],
)
async def test_aborted_sdk_task_with_outputs_has_succeeded(
    begin: Begin, kubelet: Kubelet, files: tuple[str, ...], code: int, phase: Phase
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(args=SDK, outputs=["o0"])
        assert await stop_while_it_ends(agent, kubelet, job, code=code, files=files) is phase


@pytest.mark.parametrize(
    ("seconds", "code", "files", "phase"),
    [
        (-5, 0, ("outputs.pb",), Phase.SUCCEEDED),
        (-5, 0, (), Phase.ABORTED),
        (-5, 1, ("outputs.pb",), Phase.ABORTED),
        (60, 0, ("outputs.pb",), Phase.ABORTED),
    ],
    ids=["before it was asked", "without outputs", "badly", "because it was asked"],
)
async def test_raw_container_that_ended_before_its_abort_has_succeeded(
    begin: Begin,
    kubelet: Kubelet,
    *,
    seconds: float,
    code: int,
    files: tuple[str, ...],
    phase: Phase,
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true", outputs=["o0"])
        ended = await stop_while_it_ends(
            agent, kubelet, job, code=code, seconds=seconds, files=files
        )
    assert ended is phase


@pytest.mark.parametrize(
    ("code", "files", "phase"),
    [
        (0, ("outputs.pb",), Phase.SUCCEEDED),
        (0, (), Phase.TIMED_OUT),
        (137, ("outputs.pb",), Phase.TIMED_OUT),
    ],
    ids=["done", "without outputs", "killed"],
)
async def test_task_that_finished_at_its_max_runtime_has_succeeded(
    begin: Begin, kubelet: Kubelet, code: int, files: tuple[str, ...], phase: Phase
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(args=SDK, outputs=["o0"], max_runtime=timedelta(seconds=1))
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await kubelet.api.wait_for(path, lambda it: "deletionTimestamp" in it["metadata"])
        for name in files:
            agent.jobs.leave(job, name)
        await kubelet.end(path, code)
        await kubelet.finish(path)
        end = await attempt.end()

    assert end.phase is phase


async def test_deleted_pod_with_outputs_has_succeeded_for_the_next_agent(
    begin: Begin,
) -> None:
    """Aborted while no agent was there: the next one finds the outputs, and no pod."""
    async with begin() as agent:
        job = await agent.jobs.make(args=SDK, outputs=["o0"])
        agent.jobs.leave(job, "outputs.pb")
        attempt = await agent.start(replace(job, last_reported=Phase.RUNNING))
        attempt.stop.set()
        end = await attempt.end()

    assert end.phase is Phase.SUCCEEDED
