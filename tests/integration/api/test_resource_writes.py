"""Projects, tasks, runs, settings and secrets, changed over HTTP and JSON."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import GetActionDetailsRequest, GetRunDetailsRequest
from google.protobuf.json_format import MessageToDict

from controlplane.api.wire import MAX_REQUEST_BYTES
from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    enqueue_condition,
    run_id,
    task_id,
    task_spec,
)

ORG = "/api/v1/orgs/-"
BASE = f"{ORG}/projects/{PROJECT}/domains/{DOMAIN}"
TASK = {"taskId": MessageToDict(task_id())}


@pytest.fixture
async def http(api: ApiUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
        yield client


def said(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["message"])


async def phase_of(api: ApiUnderTest, action: str = "a0") -> Any:
    request = GetActionDetailsRequest(action_id=action_id(action))
    return (await api.runs.get_action_details(request)).details.status.phase


async def test_project_is_created_once_and_replaced(http: httpx.AsyncClient) -> None:
    new = {"id": "mine", "name": "Mine", "labels": {"values": {"team": "a"}}}

    created = await http.post(f"{ORG}/projects", json=new)
    again = await http.post(f"{ORG}/projects", json=new)
    replaced = await http.put(f"{ORG}/projects/mine", json={"description": "of all"})
    missing = await http.put(f"{ORG}/projects/nope", json={"description": "of all"})
    other = await http.put(f"{ORG}/projects/mine", json={"id": "theirs"})

    assert (created.status_code, created.json()) == (201, {})
    assert "project mine exists" in said(again, 409)
    assert (replaced.status_code, replaced.content) == (204, b"")
    shown = (await http.get(f"{ORG}/projects/mine")).json()
    assert (shown["description"], shown["name"]) == ("of all", "mine")
    assert "project nope not found" in said(missing, 404)
    assert "id: is not the one of the path" in said(other, 400)


async def test_archived_project_leaves_lists_and_stays_readable(http: httpx.AsyncClient) -> None:
    await http.post(f"{ORG}/projects", json={"id": "mine"})

    await http.put(f"{ORG}/projects/mine", json={"state": "PROJECT_STATE_ARCHIVED"})

    listed = (await http.get(f"{ORG}/projects")).json()["projects"]
    assert "mine" not in {project["id"] for project in listed}
    shown = (await http.get(f"{ORG}/projects/mine")).json()
    assert shown["state"] == "PROJECT_STATE_ARCHIVED"


async def test_version_of_a_task_is_deployed_once(http: httpx.AsyncClient) -> None:
    path = f"{BASE}/tasks/env.main/versions/v1"
    spec = {"spec": MessageToDict(deploy().spec)}
    other = {"spec": MessageToDict(deploy(retries=2).spec)}

    assert (await http.put(path, json=spec)).status_code == 204
    assert (await http.put(path, json=spec)).status_code == 204
    assert "env.main" in said(await http.put(path, json=other), 409)
    assert (await http.get(path)).json()["taskId"]["version"] == "v1"


async def test_run_is_created_with_a_name_of_the_servers(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.tasks.deploy_task(deploy())
    literal = {"name": "x", "value": {"scalar": {"primitive": {"integer": 7}}}}

    created = await http.post(f"{BASE}/runs", json={**TASK, "inputs": {"literals": [literal]}})

    assert created.status_code == 201, created.text
    name = created.json()["action"]["id"]["run"]["name"]
    data = (await http.get(f"{BASE}/runs/{name}/actions/a0/data")).json()
    assert data["inputs"]["literals"][0]["value"]["scalar"]["primitive"]["integer"] == "7"


async def test_requests_with_one_idempotency_key_create_one_run(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.tasks.deploy_task(deploy())
    key = {"idempotency-key": "nightly-1"}

    answers = await asyncio.gather(*(
        http.post(f"{BASE}/runs", json=TASK, headers=key) for _ in range(5)
    ))  # fmt: skip
    other = await http.post(
        f"{BASE}/runs", json={"taskSpec": MessageToDict(task_spec("env.b"))}, headers=key
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert "nightly-1" in said(other, 409)
    runs = (await http.get(f"{BASE}/runs")).json()["runs"]
    assert [run["action"]["id"]["run"]["name"] for run in runs] == ["nightly-1"]


async def test_run_is_aborted_with_its_reason(api: ApiUnderTest, http: httpx.AsyncClient) -> None:
    await api.runs.create_run(create_run())

    answer = await http.post(f"{BASE}/runs/r1:abort", json={"reason": "wrong data"})

    assert (answer.status_code, answer.content) == (204, b"")
    details = (await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id()))).details
    assert details.action.status.phase == ActionPhase.ACTION_PHASE_ABORTED
    assert "wrong data" in str(details.action)
    assert (await http.post(f"{BASE}/runs/r1:abort")).status_code == 204
    assert "r9" in said(await http.post(f"{BASE}/runs/r9:abort"), 404)


async def test_action_is_aborted_and_a_condition_is_answered(
    api: ApiUnderTest, http: httpx.AsyncClient
) -> None:
    await api.runs.create_run(create_run())
    for name in ("yes", "no"):
        await api.actions.enqueue(enqueue_condition(name))
    path = f"{BASE}/runs/r1/actions"
    payload = {"parentActionName": "a0", "payload": {"boolValue": True}}

    signalled = await http.post(f"{path}/yes:signal", json=payload)
    aborted = await http.post(f"{path}/no:abort", json={"reason": "not needed"})

    assert signalled.status_code == 204, signalled.text
    assert aborted.status_code == 204, aborted.text
    assert await phase_of(api, "yes") == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert await phase_of(api, "no") == ActionPhase.ACTION_PHASE_ABORTED


@pytest.mark.parametrize(
    "prefix", [ORG, f"{ORG}/domains/{DOMAIN}", BASE], ids=["org", "domain", "project"]
)
async def test_settings_are_replaced_by_the_version_that_was_read(
    http: httpx.AsyncClient, prefix: str
) -> None:
    path = f"{prefix}/settings"

    def value(text: str) -> Any:
        leaf = {"state": "SETTING_STATE_VALUE", "stringValue": text}
        return {"security": {"serviceAccount": leaf}}

    empty = await http.get(path)
    created = await http.put(path, json=value("a"))
    again = await http.put(path, json=value("b"))
    replaced = await http.put(path, json=value("b"), headers={"if-match": created.headers["etag"]})
    stale = await http.put(path, json=value("c"), headers={"if-match": created.headers["etag"]})

    assert empty.status_code == 200
    assert "etag" not in empty.headers
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert "update them by their version" in said(again, 409)
    assert (replaced.status_code, replaced.headers["etag"]) == (200, '"2"')
    assert "reload them" in said(stale, 412)
    shown = await http.get(path)
    assert shown.json()["settings"]["security"]["serviceAccount"]["stringValue"] == "b"
    assert shown.headers["etag"] == '"2"'


async def test_effective_settings_name_their_level(http: httpx.AsyncClient) -> None:
    leaf = {"state": "SETTING_STATE_VALUE", "stringValue": "a"}
    await http.put(f"{ORG}/settings", json={"security": {"serviceAccount": leaf}})

    effective = (await http.get(f"{BASE}/settings", params={"effective": "true"})).json()
    own = (await http.get(f"{BASE}/settings", params={"effective": "false"})).json()

    assert effective["settings"]["security"]["serviceAccount"]["stringValue"] == "a"
    assert own["key"]["project"] == PROJECT
    assert own.get("settings", {}) == {}
    wrong = await http.get(f"{BASE}/settings", params={"effective": "1"})
    assert "send true or false" in said(wrong, 400)


@pytest.mark.parametrize("etag", ["three", "", '"-1"', '"' + "9" * 30 + '"'])
async def test_foreign_etag_is_refused(http: httpx.AsyncClient, etag: str) -> None:
    answer = await http.put(f"{ORG}/settings", json={}, headers={"if-match": etag})

    assert "send the etag that was read" in said(answer, 400)


@pytest.mark.parametrize(
    "prefix", [ORG, f"{ORG}/domains/{DOMAIN}", BASE], ids=["org", "domain", "project"]
)
async def test_secret_is_written_and_never_read(http: httpx.AsyncClient, prefix: str) -> None:
    path = f"{prefix}/secrets/token"

    created = await http.post(path, json={"stringValue": "canary-1"})
    again = await http.post(path, json={"stringValue": "canary-2"})
    replaced = await http.put(path, json={"stringValue": "canary-3"})
    shown = await http.get(path)
    listed = await http.get(f"{prefix}/secrets")
    deleted = await http.delete(path)

    assert created.status_code == 201, created.text
    assert again.status_code == 409
    assert replaced.status_code == 204
    assert shown.json()["id"]["name"] == "token"
    assert [each["id"]["name"] for each in listed.json()["secrets"]] == ["token"]
    assert deleted.status_code == 204
    assert (await http.get(path)).status_code == 404
    for answer in (created, again, replaced, shown, listed, deleted):
        assert "canary" not in answer.text


async def test_secrets_are_paged(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await http.post(f"{ORG}/secrets/s{number}", json={"stringValue": "x"})

    first = (await http.get(f"{ORG}/secrets", params={"limit": 2})).json()
    last = (await http.get(f"{ORG}/secrets", params={"limit": 2, "token": first["token"]})).json()

    names = [each["id"]["name"] for each in [*first["secrets"], *last["secrets"]]]
    assert sorted(names) == ["s0", "s1", "s2"]
    assert "token" not in last
    unknown = await http.get(f"{ORG}/secrets", params={"filters": "eq(name,a)"})
    assert "there are limit, token" in said(unknown, 400)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"nope": 1}', "it has no field 'nope'"),
        (b"{", "is not a flyteidl2.workflow.CreateRunRequest"),
        (b"[]", "the body is not a JSON object"),
        (b"\xff", "the body is not a JSON object"),
        (b'{"a": "\xff"}', "is not a flyteidl2.workflow.CreateRunRequest"),
        (b'{"runId": {"name": "r2"}}', "run_id: is named by the path"),
        (b'{"projectId": {"name": "p"}}', "project_id: is named by the path"),
        (b"", "task"),
    ],
)
async def test_malformed_body_is_refused(
    http: httpx.AsyncClient, body: bytes, message: str
) -> None:
    for headers in ({}, {"idempotency-key": "r1"}):
        answer = await http.post(
            f"{BASE}/runs",
            content=body,
            headers={"content-type": "application/json; charset=utf-8", **headers},
        )
        assert message in said(answer, 400)


async def test_body_must_be_json_uncompressed_and_bounded(http: httpx.AsyncClient) -> None:
    path, json = f"{BASE}/runs", {"content-type": "application/json"}

    form = await http.post(path, content=b"{}", headers={"content-type": "text/plain"})
    packed = await http.post(path, content=b"x", headers={**json, "content-encoding": "br"})
    large = await http.post(path, content=b" " * (MAX_REQUEST_BYTES + 1), headers=json)

    assert "content-type is 'text/plain'; send application/json" in said(form, 415)
    assert "send the body uncompressed" in said(packed, 415)
    assert "upload large data as files" in said(large, 413)
