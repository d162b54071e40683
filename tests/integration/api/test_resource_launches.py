"""Tasks that are started over the resource API, with inputs as plain JSON."""

import json
from typing import Any

import httpx
import pytest
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest

from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import action_id, deploy, run_id
from tests.integration.api.test_resource_reads import BASE, http

__all__ = ["http"]

PATH = f"{BASE}/tasks/env.main/versions/v1:run"
WHEN = "2026-01-31T12:00:00Z"
TYPES = {
    "count": LiteralType(simple=SimpleType.INTEGER),
    "when": LiteralType(simple=SimpleType.DATETIME),
    "sizes": LiteralType(collection_type=LiteralType(simple=SimpleType.FLOAT)),
    "name": LiteralType(simple=SimpleType.STRING),
}


@pytest.fixture
async def task(api: ApiUnderTest) -> None:
    """Deploy a task with an input of each type, of which ``name`` has a default."""
    request = deploy()
    template = request.spec.task_template
    for name, type_ in TYPES.items():
        template.interface.inputs.variables.add(key=name).value.type.CopyFrom(type_)
    default = request.spec.default_inputs.add(name="name").parameter
    default.var.type.CopyFrom(TYPES["name"])
    default.default.scalar.primitive.string_value = "anyone"
    await api.tasks.deploy_task(request)


async def given(api: ApiUnderTest, run: str) -> dict[str, Any]:
    data = await api.data.get_action_data(GetActionDataRequest(action_id=action_id(run=run)))
    return {each.name: each.value for each in data.inputs.literals}


@pytest.mark.usefixtures("task")
async def test_task_is_started_with_plain_values_and_its_defaults(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    body = {"count": 3, "when": WHEN, "sizes": [1, 2.5]}

    answer = await http.post(PATH, json=body)

    assert answer.status_code == 201, answer.text
    literals = await given(api, answer.json()["action"]["id"]["run"]["name"])
    assert literals["count"].scalar.primitive.integer == 3
    assert literals["when"].scalar.primitive.datetime.ToJsonString() == WHEN
    sizes = [each.scalar.primitive.float_value for each in literals["sizes"].collection.literals]
    assert sizes == [1, 2.5]
    assert literals["name"].scalar.primitive.string_value == "anyone"


@pytest.mark.usefixtures("task")
async def test_data_of_a_run_are_read_as_the_values_that_started_it(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    body = {"count": 3, "when": WHEN, "sizes": [1, 2.5], "name": "Grö\u00dfe"}
    started = await http.post(PATH, json=body)
    run = started.json()["action"]["id"]["run"]["name"]

    data = f"{BASE}/runs/{run}/actions/a0/data"
    answer = await http.get(data, params={"values": "true"})

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"inputs": {**body, "when": WHEN}, "outputs": {}}
    assert "literals" in (await http.get(data)).json()["inputs"]
    again = await http.post(PATH, json=answer.json()["inputs"])
    other = again.json()["action"]["id"]["run"]["name"]
    assert await given(api, other) == await given(api, run)


@pytest.mark.usefixtures("task")
async def test_requests_with_one_key_start_one_run(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    body = {"count": 3, "when": WHEN, "sizes": []}
    answers = [
        await http.post(PATH, json={**body, "count": count}, headers={"idempotency-key": "r1"})
        for count in (3, 3, 4)
    ]

    assert [each.status_code for each in answers] == [201, 201, 409]
    assert answers[0].json() == answers[1].json()
    assert (await given(api, run_id().name))["count"].scalar.primitive.integer == 3


@pytest.mark.usefixtures("task")
async def test_large_whole_number_is_not_rounded(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    largest = 2**63 - 1

    answer = await http.post(PATH, json={"count": largest, "when": WHEN, "sizes": []})

    literals = await given(api, answer.json()["action"]["id"]["run"]["name"])
    assert literals["count"].scalar.primitive.integer == largest


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ('{"count": "x", "when": "2026-01-31T12:00:00Z", "sizes": []}', 400, "count"),
        ('{"count": 1, "when": "tomorrow", "sizes": []}', 400, "when"),
        ('{"count": 1, "when": "2026-01-31T12:00:00Z", "sizes": [1, "x"]}', 400, "sizes[1]"),
        ('{"count": 9223372036854775808, "when": "2026-01-31T12:00:00Z"}', 400, "count"),
        ('{"count": 1}', 400, "is missing"),
        ('{"colour": 1}', 400, "colour: is no input of the task; there are count, when, sizes"),
        ('{"count": NaN}', 400, "not JSON"),
        ("[1]", 400, "not a JSON object"),
        ("{", 400, "not JSON"),
        ("[" * 100_000, 400, "not JSON"),
    ],
)
async def test_values_that_do_not_fit_are_refused_by_their_path(
    http: httpx.AsyncClient, body: str, status: int, named: str
) -> None:
    answer = await http.post(PATH, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == status, answer.text
    assert named in json.loads(answer.text)["message"]
    assert (await http.get(f"{BASE}/runs")).json().get("runs") is None


async def test_unknown_task_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, json={})

    assert answer.status_code == 404, answer.text
    assert "env.main" in answer.json()["message"]
