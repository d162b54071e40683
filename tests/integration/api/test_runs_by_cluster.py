"""Watches of the runs of one cluster: those of which it has an attempt, to their end."""

from typing import Any

from connectrpc.code import Code
from flyteidl2.common.identifier_pb2 import ClusterIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import WatchRunsRequest

from shared.model.phases import Phase
from tests.integration.api.client import CLUSTER, ApiUnderTest
from tests.integration.api.requests import create_run, refusal


def watch(api: ApiUnderTest, cluster: str = CLUSTER) -> Any:
    request = WatchRunsRequest(cluster_id=ClusterIdentifier(name=cluster))
    return api.runs.watch_runs(request)


def names(answer: Any) -> list[str]:
    return [run.action.id.run.name for run in answer.runs]


async def test_watch_of_a_cluster_shows_the_runs_of_its_attempts_to_their_end(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run("r1"))
    [attempt] = await api.claim()
    await api.runs.create_run(create_run("waits"))
    watched = watch(api)

    assert names(await anext(watched)) == ["r1"]
    await api.runs.create_run(create_run("waits-too"))
    await api.report(attempt, Phase.RUNNING, Phase.SUCCEEDED)
    phases: list[int] = []
    while ActionPhase.ACTION_PHASE_SUCCEEDED not in phases:
        answer = await anext(watched)
        assert names(answer) == ["r1"]
        phases += [run.action.status.phase for run in answer.runs]

    for each in await api.claim():
        await api.report(each, Phase.RUNNING)
    started = {name async for name in _until(watched, 2)}
    assert started == {"waits", "waits-too"}
    await watched.aclose()


async def test_watch_of_another_cluster_shows_none_of_them(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("r1"))
    await api.claim()
    watched = watch(api, "other")
    assert names(await anext(watched)) == []
    await watched.aclose()


async def test_watch_of_a_cluster_without_a_name_is_refused(api: ApiUnderTest) -> None:
    code, sentence = await refusal(anext(watch(api, "")))
    assert code is Code.INVALID_ARGUMENT
    assert "cluster" in sentence


async def _until(watched: Any, count: int) -> Any:
    seen: set[str] = set()
    while len(seen) < count:
        for name in names(await anext(watched)):
            seen.add(name)
            yield name
