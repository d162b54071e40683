"""Logs of pods: live, resumed by line, of several containers, and after the pod has gone."""

import gzip
import json
from pathlib import Path

from shared.model.logs import Originator
from shared.model.phases import Phase
from tests.kube import images
from tests.kube.attempts import TIMEOUT_SECONDS, read_log, texts
from tests.kube.node.runtime.conftest import Begin
from tests.kube.node.runtime.test_endings import make_pod

TALKING = "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done"


def read_shipped(uri: str) -> list[str]:
    packed = Path(uri.removeprefix("file://")).read_bytes()
    return [json.loads(line)["m"] for line in gzip.decompress(packed).splitlines()]


async def test_log_is_followed_from_before_its_start_to_its_end(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(TALKING)
        attempt = await agent.start(job)
        lines = await read_log(agent, job)
        await attempt.end()

    assert texts(lines) == [f"line {number}" for number in range(1, 6)]
    assert all(line.originator is Originator.USER for line in lines)
    assert [line.at for line in lines] == sorted(line.at for line in lines)


async def test_log_line_arrives_before_the_log_ends(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("echo begun; sleep 600")
        attempt = await agent.start(job)
        follow = agent.runtime.follow(job.assignment.attempt, 0)
        first = await anext(follow)
        assert texts(first.lines) == ["begun"]
        assert not attempt.run.done()
        attempt.stop.set()
        assert [chunk async for chunk in follow] == []
        await attempt.end()


async def test_interrupted_follower_resumes_after_a_line(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(TALKING)
        attempt = await agent.start(job)
        live = await read_log(agent, job, after=3)
        await attempt.end()
        afterwards = await read_log(agent, job, after=3)

    assert texts(live) == texts(afterwards) == ["line 4", "line 5"]


async def test_shipped_log_equals_the_followed_one(begin: Begin) -> None:
    other = {
        "name": "other",
        "image": images.TASK_IMAGE,
        "command": ["sh", "-c", "for i in 1 2 3; do echo beside $i; sleep 0.5; done"],
    }
    first = {"name": "first", "image": images.TASK_IMAGE, "command": ["echo", "before"]}
    pod = make_pod(TALKING, pod_containers=[other], pod_initContainers=[first])
    pod["terminationGracePeriodSeconds"] = 1
    async with begin() as agent:
        job = await agent.jobs.make(pod=pod)
        attempt = await agent.start(job)
        live = await read_log(agent, job)
        end = await attempt.end()

    shipped = read_shipped(end.log_uri)
    assert texts(live) == shipped
    assert shipped[0] == "[first] before"
    assert {"line 1", "line 5", "[other] beside 1"} <= set(shipped)


async def test_log_outlives_its_pod(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("echo begun; sleep 600")
        attempt = await agent.start(job)
        await attempt.last_reported.until(Phase.RUNNING)
        await anext(agent.runtime.follow(job.assignment.attempt, 0))
        attempt.stop.set()
        await attempt.end(within=TIMEOUT_SECONDS)

        assert texts(await read_log(agent, job)) == ["begun"]
