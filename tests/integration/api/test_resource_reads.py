"""
Projects, tasks, runs, actions and attempts over HTTP and JSON: got, listed, filtered, paged.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, GetRunDetailsResponse
from google.protobuf.json_format import MessageToDict, Parse

from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, deploy, enqueue, run_id, task_spec

FAILURE = Failure(code="E", kind=FailureKind.USER, message="no")
BASE = f"/api/v1/orgs/-/projects/{PROJECT}/domains/{DOMAIN}"


@pytest.fixture
async def http(api: ApiUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
        yield client


async def get(http: httpx.AsyncClient, path: str, **query: str | int) -> Any:
    answer = await http.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def refused(http: httpx.AsyncClient, path: str, status: int, **query: str | int) -> str:
    answer = await http.get(path, params=query or None)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"code", "message", "details"}
    assert answer.headers["x-request-id"]
    return str(body["message"])


def names(runs: Any) -> list[str]:
    return [run["action"]["id"]["run"]["name"] for run in runs.get("runs", [])]


async def test_run_is_the_same_message_as_over_connect(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.runs.create_run(create_run())
    details = await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id()))

    answer = await http.get(f"{BASE}/runs/r1")

    shown = Parse(f'{{"details": {answer.text}}}', GetRunDetailsResponse())
    assert MessageToDict(shown) == MessageToDict(details)
    assert shown.details.action.id.run.org == ORG


async def test_org_is_the_callers_by_its_name_or_by_a_dash(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.runs.create_run(create_run())

    own = await get(http, f"{BASE.replace('/-/', f'/{ORG}/')}/runs/r1")

    assert own == await get(http, f"{BASE}/runs/r1")


async def test_other_org_does_not_exist_whether_it_is_there_or_not(
    http: httpx.AsyncClient,
) -> None:
    said = [
        await refused(http, f"{BASE.replace('/-/', f'/{org}/')}/runs", 404)
        for org in ("globex", "nope")
    ]

    assert said[0].replace("globex", "nope") == said[1]
    assert "org nope not found" in said[1]


async def test_projects_are_listed_with_their_domains(http: httpx.AsyncClient) -> None:
    listed = await get(http, "/api/v1/orgs/-/projects", filters=f"eq(id,{PROJECT})")

    assert [project["id"] for project in listed["projects"]] == [PROJECT]
    one = await get(http, f"/api/v1/orgs/-/projects/{PROJECT}")
    assert one == listed["projects"][0]
    assert DOMAIN in {domain["id"] for domain in one["domains"]}
    assert await get(http, "/api/v1/orgs/-/projects", filters="eq(id,nope)") == {}


async def test_tasks_are_listed_by_name_and_by_version(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    for version in ("v1", "v2"):
        await api.tasks.deploy_task(deploy(version=version))
    await api.tasks.deploy_task(deploy("env/odd name:abort", "v 1"))

    latest = await get(http, f"{BASE}/tasks", **{"sort_by.key": "name"})
    assert [task["taskId"]["name"] for task in latest["tasks"]] == [
        "env/odd name:abort",
        "env.main",
    ]
    versions = await get(http, f"{BASE}/tasks/env.main")
    assert [each["version"] for each in versions["versions"]] == ["v2", "v1"]
    odd = await get(http, f"{BASE}/tasks/env%2Fodd%20name:abort/versions/v%201")
    assert odd["taskId"]["name"] == "env/odd name:abort"
    assert await get(http, f"{BASE}/tasks", entrypoint="true") == {
        "metadata": {"total": 2}  # without the filter
    }


async def test_filters_are_read_alike_however_the_plus_is_encoded(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.runs.create_run(create_run("failed"))
    await api.finish(Phase.FAILED, FAILURE)
    await api.runs.create_run(create_run("queued"))
    first, second = "eq(phase,FAILED)", "gte(execution_created_at,2026-01-01T00:00:00.000000001Z)"

    for separator in ("+", "%2B", "%20", "%20%2B%20"):
        answer = await http.get(f"{BASE}/runs?filters={first}{separator}{second}")
        assert names(answer.json()) == ["failed"], separator
    assert names(await get(http, f"{BASE}/runs", filters=f"{first}+{second}")) == ["failed"]
    assert names(await get(http, f"{BASE}/runs", filters="ne(phase,FAILED)")) == ["queued"]
    late = await get(http, f"{BASE}/runs", filters="gte(created_at,2100-01-01T00:00:00+01:00)")
    assert late == {}


async def test_filter_matches_percent_and_underscore_literally(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    for name in ("env.a50%", "env.a_b", "env.axb", "env.a500"):
        await api.tasks.deploy_task(deploy(name))

    async def listed(filters: str) -> set[str]:
        found = await get(http, f"{BASE}/tasks", filters=filters)
        return {task["taskId"]["name"] for task in found.get("tasks", [])}

    assert await listed("contains(name,50%)") == {"env.a50%"}
    assert await listed("contains(name,a_)") == {"env.a_b"}
    assert await listed("value_in(name,env.axb;env.a_b)") == {"env.axb", "env.a_b"}


async def test_duration_is_filtered_in_seconds(api: ApiUnderTest, http: httpx.AsyncClient) -> None:
    await api.runs.create_run(create_run())
    await api.finish()

    assert names(await get(http, f"{BASE}/runs", filters="lt(duration,3600)")) == ["r1"]
    assert names(await get(http, f"{BASE}/runs", filters="gte(duration,3600.5)")) == []


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("eq(nope,1)", "runs have no field 'nope'; there are name,"),
        ("like(name,x)", "'like' is not known; there are eq,"),
        ("eq(name,x", "at character 1 is not a filter"),
        ("eq(name,x)+(", "at character 12 is not a filter"),
        ("eq(phase,SUCCEEDING)", "there are QUEUED, WAITING_FOR_RESOURCES"),
        ("gt(duration,long)", "'long' is not a number of seconds"),
        ("gt(duration,NaN)", "out of range"),
        ("gte(created_at,yesterday)", "write it as 2026-01-31T12:00:00Z"),
        ("gte(created_at,2026-01-01T00:00:00)", "add Z for UTC"),
        ("contains(phase,FAILED)", "phase is not text"),
        ("eq(run_source,CLI)", "not a whole number"),
        ("eq(name,a\0)", "NUL"),
    ],
)
async def test_malformed_filter_is_refused_with_its_remedy(
    http: httpx.AsyncClient, filters: str, said: str
) -> None:
    assert said in await refused(http, f"{BASE}/runs", 400, filters=filters)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"limit": "0"}, "send a number from 1 to 200"),
        ({"limit": "-1"}, "send a number from 1 to 200"),
        ({"limit": "many"}, "send a number from 1 to 200"),
        ({"sort_by.key": "nope"}, "runs have no field 'nope'"),
        ({"sort_by.key": "name", "sort_by.direction": "UP"}, "ASCENDING or DESCENDING"),
        ({"sort_by.direction": "ASCENDING"}, "needs sort_by.key"),
        ({"token": "abc"}, "token: is for another list"),
        ({"page": "2"}, "'page' is unknown; there are filters, sort_by.key"),
    ],
)
async def test_malformed_parameter_is_refused_with_its_remedy(
    http: httpx.AsyncClient, query: dict[str, str], said: str
) -> None:
    assert said in await refused(http, f"{BASE}/runs", 400, **query)


async def test_parameters_are_refused_twice_in_foreign_bytes_or_without_a_meaning(
    http: httpx.AsyncClient,
) -> None:
    assert "limit: is given twice" in await refused(http, f"{BASE}/runs?limit=1&limit=2", 400)
    assert "not UTF-8" in await refused(http, f"{BASE}/runs?filters=%FF", 400)
    assert "not UTF-8" in await refused(http, f"{BASE}/runs/%FF", 400)
    assert "there are none here" in await refused(http, f"{BASE}/runs/r1?x=1", 400)


async def test_limit_above_the_most_is_the_most(http: httpx.AsyncClient) -> None:
    assert await get(http, f"{BASE}/runs", limit=100_000) == {}


SORTED = (
    "name",
    "phase",
    "created_at",
    "execution_created_at",
    "execution_updated_at",
    "started_at",
    "ended_at",
    "task.name",
    "task_version",
    "run_source",
    "project",
    "labels.team",
)


async def test_every_order_pages_each_run_exactly_once_while_others_are_created(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    old = {f"old{number:03}" for number in range(500)}
    for start in range(0, 500, 50):
        batch = sorted(old)[start : start + 50]
        await asyncio.gather(*(
            api.runs.create_run(create_run(name, task_spec=task_spec(f"env.t{int(name[3:]) % 5}")))
            for name in batch
        ))  # fmt: skip
    await api.finish()
    created = 0
    for key in SORTED:
        for direction in ("ASCENDING", "DESCENDING"):
            seen: list[str] = []
            query: dict[str, str | int] = {"sort_by.key": key, "sort_by.direction": direction}
            # Pages of 7 for one order in each direction; larger ones keep the others quick.
            query["limit"] = 7 if key == "name" else 120
            for _ in range(100):
                page = await get(http, f"{BASE}/runs", **query)
                seen += names(page)
                if created < 40:
                    await api.runs.create_run(create_run(f"new{created}"))
                    created += 1
                if "token" not in page:
                    break
                query["token"] = page["token"]
            assert sorted(name for name in seen if name in old) == sorted(old), (key, direction)


async def test_page_token_belongs_to_its_filters_and_order(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    for number in range(3):
        await api.runs.create_run(create_run(f"r{number}"))
    question = {"filters": "contains(name,r)", "sort_by.key": "name"}
    token = (await get(http, f"{BASE}/runs", limit=1, **question))["token"]

    assert names(await get(http, f"{BASE}/runs", limit=2, token=token, **question)) == ["r1", "r0"]
    for changed in ({"filters": "contains(name,0)"}, {"sort_by.key": "phase"}):
        said = await refused(http, f"{BASE}/runs", 400, token=token, **{**question, **changed})
        assert "other filters" in said
    said = await refused(http, f"{BASE}/runs/r1/actions", 400, token=token)
    assert "another list" in said


async def test_actions_and_attempts_are_those_of_the_run(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.runs.create_run(create_run(task_spec=task_spec(retries=1)))
    await api.finish(Phase.FAILED, FAILURE)
    for assignment in await api.claim():
        await api.report(assignment, Phase.RUNNING)
    for name, group in (("b", "g"), ("c", "")):
        await api.actions.enqueue(enqueue(api, name, group=group))
    path = f"{BASE}/runs/r1/actions"

    async def listed(**query: str) -> list[str]:
        found = await get(http, path, **query)
        return [action["id"]["name"] for action in found.get("actions", [])]

    assert await listed() == ["a0", "b", "c"]
    assert await listed(parent="a0") == ["b", "c"]
    assert await listed(group="g") == ["b"]
    assert await listed(filters="eq(node_id,c)") == ["c"]
    assert await listed(**{"sort_by.key": "name"}) == ["c", "b", "a0"]
    attempts = (await get(http, f"{path}/a0/attempts"))["attempts"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2]
    assert attempts[0]["phase"] == "ACTION_PHASE_FAILED"
    action = await get(http, f"{path}/a0")
    assert action["attempts"] == attempts
    assert action["id"]["name"] == "a0"


async def test_data_of_an_action_are_its_literals(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    request = create_run()
    request.inputs.literals.add(name="x").value.scalar.primitive.integer = 2**60
    await api.runs.create_run(request)

    data = await get(http, f"{BASE}/runs/r1/actions/a0/data")

    [x] = data["inputs"]["literals"]
    assert x["value"]["scalar"]["primitive"]["integer"] == str(2**60)


async def test_missing_things_are_named(http: httpx.AsyncClient) -> None:
    assert "r1" in await refused(http, f"{BASE}/runs/r1", 404)
    assert "env.no" in await refused(http, f"{BASE}/tasks/env.no/versions/v1", 404)
    assert "project nope" in await refused(http, "/api/v1/orgs/-/projects/nope", 404)
    assert "orgs/{org}/" in await refused(http, "/api/v1/nope", 404)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/executions/p/d", "executions are runs here: /api/v1/orgs/{org}/projects/"),
        ("/api/v1/node_executions/p/d/r/n", "actions"),
        ("/api/v1/events/workflows", "agents' own link"),
        ("/api/v1/domains", "domains belong to an org here"),
        ("/api/v1/launch_plans/p/d/n/v", "launch plans are triggers here"),
        ("/api/v1/matchable_attributes?resource_type=0", "attributes are settings here"),
    ],
)
async def test_noun_of_flyteadmin_without_a_route_says_where_it_is(
    http: httpx.AsyncClient, path: str, said: str
) -> None:
    assert said in await refused(http, path, 501)


async def test_other_method_is_refused_with_those_there_are(http: httpx.AsyncClient) -> None:
    answer = await http.put(f"{BASE}/runs/r1")

    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    assert "PUT is not served here" in answer.json()["message"]


async def test_pages_of_other_sites_are_refused(http: httpx.AsyncClient) -> None:
    foreign = await http.get(f"{BASE}/runs", headers={"origin": "https://evil.example"})
    rebound = await http.get(f"{BASE}/runs", headers={"host": "evil.example"})

    assert foreign.status_code == 403
    assert rebound.status_code == 421
    assert json.loads(foreign.text)["code"] == "permission_denied"


async def test_malformed_header_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{BASE}/runs", headers=[(b"x-a", b"\xff")])

    assert answer.status_code == 400
    assert "the header x-a is not UTF-8" in answer.json()["message"]
