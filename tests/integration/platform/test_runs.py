"""Lists and counts of runs by plain JSON over HTTP."""

import pytest

from tests.integration.api.client import DOMAIN, PROJECT
from tests.integration.platform.test_run_trees import make_run
from tests.integration.platform.world import RefusedError, World

HERE = {"project": PROJECT, "domain": DOMAIN}


async def test_runs_are_listed_and_counted(world: World) -> None:
    await make_run(world)
    [run] = (await world.ada.call("RunService/ListRunRows", filter=HERE))["runs"]
    assert (run["run"], run["phase"]) == ("r1", "queued")
    assert run["actions"] == [{"phase": "queued", "count": "1"}]
    since = {**HERE, "since": run["createdAt"]}
    found = await world.ada.call("RunService/SummarizeRuns", filter=since, buckets=2)
    assert found["phases"] == [{"phase": "queued", "count": "1"}]
    assert len(found["buckets"]) == 2
    assert await world.eve.call("RunService/ListRunRows", filter=HERE) == {}


@pytest.mark.parametrize(
    ("rpc", "request_", "message"),
    [
        ("ListRunRows", {"filter": {"phases": ["done"]}}, "filter.phases"),
        ("ListRunRows", {"filter": {"project": "a/b"}}, "project"),
        ("ListRunRows", {"pageToken": "x"}, "page_token"),
        ("SummarizeRuns", {}, "filter.since: is required"),
        ("SummarizeRuns", {"filter": {"since": "2026-01-01T00:00:00Z"}, "buckets": 501}, "buckets"),
        ("SummarizeRuns", {"filter": {"since": "2000-01-01T00:00:00Z"}}, "3660 days"),
    ],
)
async def test_bad_request_of_a_list_of_runs_is_refused(
    world: World, rpc: str, request_: dict[str, object], message: str
) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        await world.ada.call(f"RunService/{rpc}", **request_)
    assert refused.value.code == "invalid_argument"
