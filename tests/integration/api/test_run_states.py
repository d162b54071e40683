"""Runs that people archive and hold: which lists show them, and that a hold outlasts a purge."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.task.run_pb2 import Labels, RunSpec
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, ListRunsRequest

from controlplane.api.resources.route import BASE
from shared.idl.platform.v1 import run_pb2 as pb
from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, project_id, refusal, run_id
from tests.integration.api.test_run_purges import holds, make_loop, purge, run_to_end
from tests.integration.api.test_scopes import call

RUNS = (BASE + "projects/{project}/domains/{domain}/runs").format(
    org="-", project=PROJECT, domain=DOMAIN
)
PLACE: Any = {"project": PROJECT, "domain": DOMAIN}


async def set_state(api: ApiUnderTest, state: str, *runs: str) -> list[str]:
    request = pb.SetRunsStateRequest(**PLACE, runs=runs, state=state)
    return list((await call(api, "platform.RunService/SetRunsState", request)).changed)


async def hold(api: ApiUnderTest, run: str = "r1", reason: str = "an audit") -> pb.RunRetention:
    request = pb.HoldRunRequest(**PLACE, run=run, reason=reason)
    found: pb.RunRetention = (await call(api, "platform.RunService/HoldRun", request)).retention
    return found


async def release(api: ApiUnderTest, run: str = "r1") -> None:
    request = pb.ReleaseRunRequest(**PLACE, run=run)
    await call(api, "platform.RunService/ReleaseRun", request)


async def rows(api: ApiUnderTest, **filters: Any) -> list[pb.RunRow]:
    request = pb.ListRunRowsRequest(filter=pb.RunFilter(**PLACE, **filters))
    return list((await call(api, "platform.RunService/ListRunRows", request)).runs)


async def listed(api: ApiUnderTest, *filters: Filter) -> list[str]:
    """Return the names of the runs in the list of flyteidl2's RunService."""
    request = ListRunsRequest(project_id=project_id(), request=ListRequest(filters=filters))
    return [run.action.id.run.name for run in (await api.runs.list_runs(request)).runs]


async def test_archived_runs_leave_the_resource_list_and_stay_readable(api: ApiUnderTest) -> None:
    for name in ("r1", "r2", "r3"):
        await api.runs.create_run(create_run(name))
    async with httpx.AsyncClient(base_url=api.url) as http:

        async def names(query: str = "") -> list[str]:
            answer = await http.get(f"{RUNS}?{query}")
            assert answer.status_code == 200, answer.text
            runs = answer.json().get("runs", [])
            return [each["action"]["id"]["run"]["name"] for each in runs]

        done = await http.patch(f"{RUNS}/r2", json={"state": "EXECUTION_ARCHIVED"})
        assert (done.status_code, done.json()) == (200, {"changed": ["r2"]})
        assert (await http.patch(f"{RUNS}/r2", json={"state": "archived"})).json() == {}

        assert await names() == ["r3", "r1"]
        assert await names("archived=true") == ["r2"]
        assert await names("filters=eq(state,1)") == ["r2"]
        assert await names("filters=value_in(state,ACTIVE;ARCHIVED)") == ["r3", "r2", "r1"]
        assert (await http.get(f"{RUNS}/r2")).status_code == 200

        await http.patch(f"{RUNS}/r2", json={"state": "ACTIVE"})
        assert await names() == ["r3", "r2", "r1"]
        for path, body, status in (
            ("r9", {"state": "archived"}, 404),
            ("r1", {"state": "gone"}, 400),
            ("r1", {}, 400),
            ("r1", {"state": "archived", "runs": ["r2"]}, 400),
        ):
            refused = await http.patch(f"{RUNS}/{path}", json=body)
            assert refused.status_code == status, refused.text
        assert await names() == ["r3", "r2", "r1"]


async def test_archived_runs_stay_in_other_lists_unless_a_filter_leaves_them_out(
    api: ApiUnderTest,
) -> None:
    for name in ("r1", "r2"):
        await api.runs.create_run(create_run(name))
    assert await set_state(api, "archived", "r1") == ["r1"]

    assert await listed(api) == ["r2", "r1"]
    only = Filter(function=Filter.EQUAL, field="archived", values=["false"])
    assert await listed(api, only) == ["r2"]
    assert [row.run for row in await rows(api)] == ["r2", "r1"]
    assert [row.run for row in await rows(api, archived=False)] == ["r2"]
    [row] = await rows(api, archived=True)
    assert (row.run, row.HasField("archived_at"), row.held) == ("r1", True, False)
    assert row.archived_by
    await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id("r1")))


async def test_run_is_found_by_its_label_at_once_and_when_it_is_archived(api: ApiUnderTest) -> None:
    """The SDK's ``run_once`` looks for a run by its label before it starts another."""
    labels = RunSpec(labels=Labels(values={"dedupe": "delivery-1"}))
    await api.runs.create_run(create_run("r1", run_spec=labels))
    await api.runs.create_run(create_run("r2"))
    by_label = Filter(function=Filter.EQUAL, field="labels.dedupe", values=["delivery-1"])
    assert await listed(api, by_label) == ["r1"]

    await set_state(api, "archived", "r1")
    assert await listed(api, by_label) == ["r1"]


async def test_state_is_set_for_all_named_runs_or_for_none(api: ApiUnderTest) -> None:
    for name in ("r1", "r2"):
        await api.runs.create_run(create_run(name))
    code, message = await refusal(set_state(api, "archived", "r1", "r9", "r2"))
    assert code is Code.NOT_FOUND
    assert "r9" in message
    assert await rows(api, archived=True) == []
    assert await set_state(api, "archived", "r1", "r2", "r1") == ["r1", "r2"]

    answers = await asyncio.gather(
        *(set_state(api, "active", *names) for names in (("r1", "r2"), ("r2", "r1")))
    )
    assert sorted(name for changed in answers for name in changed) == ["r1", "r2"]
    for runs in ((), tuple(f"r{number}" for number in range(201))):
        code, message = await refusal(set_state(api, "archived", *runs))
        assert (code, message) == (
            Code.INVALID_ARGUMENT,
            f"runs: name from 1 to 200, not {len(runs)}",
        )


async def test_run_that_a_person_holds_is_purged_after_its_release_only(api: ApiUnderTest) -> None:
    await run_to_end(api, "r1")
    for _ in range(2):
        assert [each.kind for each in (await hold(api)).holds] == ["person"]
    [(kind, holder)] = await holds(api)
    assert kind == "person"
    assert holder.endswith(": an audit")
    assert [row.held for row in await rows(api)] == [True]
    code, message = await refusal(purge(api))
    assert code is Code.FAILED_PRECONDITION
    assert "an audit (release the run)" in message
    assert await make_loop(api, keep=timedelta(0)).run_once() == 0

    for _ in range(2):
        await release(api)
    assert await holds(api) == []
    assert await make_loop(api, keep=timedelta(0)).run_once() == 1


async def test_hold_and_purge_at_once_leave_a_held_run_or_none(api: ApiUnderTest) -> None:
    for number in range(5):
        name = f"r{number}"
        await run_to_end(api, name)
        answers = await asyncio.gather(hold(api, name), purge(api, name), return_exceptions=True)
        refused = [each for each in answers if isinstance(each, ConnectError)]
        assert [each.code in {Code.FAILED_PRECONDITION, Code.UNAVAILABLE} for each in refused] == [
            True
        ]
        held = not isinstance(answers[0], BaseException)
        assert [kind for kind, _ in await holds(api, name)] == (["person"] if held else [])


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501])
async def test_hold_needs_a_line_that_says_why(api: ApiUnderTest, reason: str) -> None:
    await run_to_end(api, "r1")
    code, message = await refusal(hold(api, reason=reason))
    assert code is Code.INVALID_ARGUMENT
    assert message.startswith("reason: ")
    assert await holds(api) == []
