"""Triggers, domains and copies of runs over HTTP and JSON."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest
from google.protobuf.json_format import MessageToDict

from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, deploy, run_id
from tests.integration.api.triggers import plain_trigger

ORG = "/api/v1/orgs/-"
BASE = f"{ORG}/projects/{PROJECT}/domains/{DOMAIN}"
TRIGGER = f"{BASE}/tasks/env.main/triggers/nightly"


@pytest.fixture
async def http(api: ApiUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
        yield client


def said(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["message"])


def spec(**changes: Any) -> Any:
    request = plain_trigger()
    body = {
        "spec": MessageToDict(request.spec),
        "automationSpec": MessageToDict(request.automation_spec),
    }
    return {**body, **changes}


async def test_trigger_is_replaced_by_its_revision_listed_and_deleted(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.tasks.deploy_task(deploy())

    made = await http.put(TRIGGER, json=spec())
    other = spec(automationSpec={"type": "TYPE_NONE"})
    stale = await http.put(TRIGGER, json=other, headers={"if-match": '"7"'})
    second = await http.put(TRIGGER, json=other, headers={"if-match": '"1"'})
    paused = await http.patch(TRIGGER, json={"active": False})

    assert made.json()["id"]["revision"] == "1"
    assert "revision" in said(stale, 412)
    assert second.json()["id"]["revision"] == "2"
    assert (paused.status_code, paused.content) == (204, b"")
    listed = [
        (await http.get(path, params={"active": "false"})).json()["triggers"]
        for path in (f"{BASE}/triggers", f"{BASE}/tasks/env.main/triggers")
    ]
    assert [each["id"]["name"]["name"] for page in listed for each in page] == ["nightly"] * 2
    assert (await http.get(f"{BASE}/triggers", params={"active": "true"})).json() == {}
    revisions = (await http.get(f"{TRIGGER}/revisions")).json()["triggers"]
    assert [each["id"]["revision"] for each in revisions] == ["3", "2", "1"]
    first = (await http.get(f"{TRIGGER}/revisions/1")).json()
    assert first["automationSpec"]["type"] == "TYPE_SCHEDULE"
    assert "is no number" in said(await http.get(f"{TRIGGER}/revisions/last"), 400)
    named = await http.patch(TRIGGER, json={"names": [{"name": "other"}], "active": True})
    assert "names: is named by the path" in said(named, 400)
    assert (await http.delete(TRIGGER)).status_code == 204
    assert "nightly not found" in said(await http.get(TRIGGER), 404)


async def test_run_of_a_trigger_is_started_once_by_its_key(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.tasks.deploy_task(deploy())
    await api.triggers.deploy_trigger(plain_trigger())

    named = [
        await http.post(f"{TRIGGER}:run", headers={"idempotency-key": "tonight"}) for _ in range(2)
    ]
    unnamed = await http.post(
        f"{TRIGGER}:run", json={"runSpec": {"labels": {"values": {"a": "b"}}}}
    )

    assert [answer.status_code for answer in named] == [201, 201]
    names = [answer.json()["action"]["id"]["run"]["name"] for answer in (*named, unnamed)]
    assert names[:2] == ["tonight", "tonight"]
    assert len({*names}) == 2
    missing = await http.post(f"{BASE}/tasks/env.main/triggers/none:run")
    assert "none" in said(missing, 404)


async def test_runs_are_filtered_by_their_trigger_and_by_what_they_were_made_from(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.tasks.deploy_task(deploy())
    await api.triggers.deploy_trigger(plain_trigger())
    await http.post(f"{TRIGGER}:run", headers={"idempotency-key": "fired"})
    await api.runs.create_run(create_run())
    await http.post(f"{BASE}/runs/r1:rerun", headers={"idempotency-key": "again"})

    for filters, expected in (
        ("eq(trigger.name,nightly)", ["fired"]),
        ("eq(launch_plan.name,nightly)+eq(trigger.task,env.main)", ["fired"]),
        ("eq(trigger.task,other.main)", []),
        ("gte(trigger.revision,1)", ["fired"]),
        ("eq(relation_type,RERUN)", ["again"]),
        ("eq(related_to,r1)", ["again"]),
    ):
        listed = (await http.get(f"{BASE}/runs", params={"filters": filters})).json()
        names = [each["action"]["id"]["run"]["name"] for each in listed.get("runs", [])]
        assert names == expected, filters


async def test_run_is_rerun_with_its_inputs_and_recovered_by_force(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    request = create_run()
    request.inputs.literals.add(name="x").value.scalar.primitive.integer = 7
    request.run_spec.labels.values["team"] = "a"
    await api.runs.create_run(request)
    early = await http.post(f"{BASE}/runs/r1:recover")
    await http.post(f"{BASE}/runs/r1:abort", json={"reason": "enough"})

    again = await http.post(f"{BASE}/runs/r1:rerun", headers={"idempotency-key": "r2"})
    repeated = await http.post(f"{BASE}/runs/r1:rerun", headers={"idempotency-key": "r2"})
    recovered = await http.post(f"{BASE}/runs/r1:recover", json={"forceRerunActions": ["a0"]})
    unknown = await http.post(f"{BASE}/runs/r1:recover", json={"forceRerunActions": ["zzz"]})
    missing = await http.post(f"{BASE}/runs/r9:rerun")

    assert "r1" in said(early, 412)
    assert (again.status_code, repeated.status_code, recovered.status_code) == (201, 201, 201)
    details = (await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id("r2")))).details
    assert details.run_spec.relation.related_to.name == "r1"
    assert dict(details.run_spec.labels.values) == {"team": "a"}
    assert details.action.status.phase == ActionPhase.ACTION_PHASE_QUEUED
    data = (await http.get(f"{BASE}/runs/r2/actions/a0/data")).json()
    assert data["inputs"]["literals"][0]["value"]["scalar"]["primitive"]["integer"] == "7"
    name = recovered.json()["action"]["id"]["run"]["name"]
    shown = (await http.get(f"{BASE}/runs/{name}")).json()["runSpec"]
    assert shown["relation"]["relationType"] == "RELATION_TYPE_RECOVER"
    assert shown["recover"] == {"forceRerunActions": ["a0"]}
    assert "has no actions zzz" in said(unknown, 400)
    assert "r9" in said(missing, 404)


async def test_domain_is_created_renamed_and_deleted(http: httpx.AsyncClient) -> None:
    made = await http.post(f"{ORG}/domains", json={"id": "test", "friendlyName": "Test"})
    renamed = await http.put(f"{ORG}/domains/test", json={"friendlyName": "Trials"})
    other = await http.put(f"{ORG}/domains/test", json={"id": "prod", "friendlyName": "Trials"})

    assert (made.status_code, made.json()["friendlyName"]) == (201, "Test")
    assert renamed.json()["friendlyName"] == "Trials"
    assert "id: is named by the path" in said(other, 400)
    assert "Trials" in (await http.get(f"{ORG}/domains")).text
    assert (await http.delete(f"{ORG}/domains/test")).status_code == 204
    assert "test" in said(await http.get(f"{ORG}/domains/test"), 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "remedy"),
    [
        ("GET", "/api/v1/matchable_attributes?resource_type=CLUSTER_RESOURCE", None, "Helm"),
        ("GET", "/api/v1/project_attributes/p?resource_type=5", None, "the type of a task alone"),
        (
            "PUT",
            "/api/v1/project_domain_attributes/p/d",
            {"attributes": {"matchingAttributes": {"executionClusterLabel": {"value": "gpu"}}}},
            "run.default_queue the queue",
        ),
        (
            "PUT",
            "/api/v1/workflow_attributes/p/d/w",
            {"attributes": {"matchingAttributes": {"qualityOfService": {"tier": "HIGH"}}}},
            "queues have limits",
        ),
    ],
)
async def test_attributes_that_no_setting_has_are_refused_with_what_there_is(
    http: httpx.AsyncClient, method: str, path: str, body: Any, remedy: str
) -> None:
    answer = await http.request(method, path, json=body)

    assert remedy in said(answer, 400)
