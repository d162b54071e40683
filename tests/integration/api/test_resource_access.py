"""Routes of the resource API need the permissions of their RPCs, wherever the caller has them."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass

from controlplane.api.resources.requests import Call, build_request
from controlplane.api.resources.route import BASE, Route
from controlplane.api.resources.routes import ROUTES
from controlplane.core.callers import EVERYTHING, Caller, Grant, Subject, org_wide
from controlplane.core.errors import UnauthenticatedError
from tests.integration.api.client import ORG, ApiUnderTest, open_api
from tests.integration.api.requests import create_run, deploy, task_spec
from tests.integration.api.test_resource_openapi import VALUES
from tests.integration.api.triggers import plain_trigger

BODIES: Mapping[str, object] = {
    "AbortAction": {"reason": "x"},
    "CreateDomain": {"id": "third"},
    "CreateProject": {"id": "third"},
    "CreateRun": {"taskSpec": MessageToDict(task_spec())},
    "CreateSecret": {"stringValue": "x"},
    "DeployTask": {"spec": MessageToDict(task_spec())},
    "DeployTrigger": {
        "spec": MessageToDict(plain_trigger().spec),
        "automationSpec": MessageToDict(plain_trigger().automation_spec),
    },
    "SetRunsState": {"state": "archived"},
    "SignalEvent": {"parentActionName": "a0", "payload": {"boolValue": True}},
    "UpdateSecret": {"stringValue": "x"},
}
"""Bodies that pass the validation of their RPC, if the path names nothing of them."""


class ByToken:
    """Authenticates the test's two tokens, as callers with these grants."""

    def __init__(self) -> None:
        self.grants: tuple[Grant, ...] = org_wide(EVERYTHING)

    async def authenticate(self, headers: Mapping[str, str], _peer: str | None) -> Caller:
        if headers.get("authorization") != "Bearer token":
            raise UnauthenticatedError("send a token")
        return Caller(subject=Subject("user:ada"), org=ORG, name="Ada", grants=self.grants)


@pytest.fixture
def callers() -> ByToken:
    return ByToken()


@pytest.fixture
async def api(database_url: str, tmp_path: Path, callers: ByToken) -> AsyncIterator[ApiUnderTest]:
    async with open_api(database_url, tmp_path / "blobs", authn=callers) as api:
        headers = {"authorization": "Bearer token"}
        await api.runs.create_run(create_run(), headers=headers)
        await api.tasks.deploy_task(deploy(), headers=headers)
        await api.triggers.deploy_trigger(plain_trigger(), headers=headers)
        yield api


async def send(
    api: ApiUnderTest,
    route: Route,
    token: str = "token",  # noqa: S107
    org: str = "-",
) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    if route.header is not None:
        headers[route.header.name] = '"1"' if route.header.is_etag else "r1"
    is_named_by_path = route.copies is not None or ":run" in route.path
    query = {route.flag: "true"} if route.flag else {}
    query |= {"attempt": "9"} if route.lines else {}  # there is none: a stream would not end
    body = {} if is_named_by_path else BODIES.get(route.rpc.partition("/")[2], {})
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
        return await client.request(
            route.method,
            (BASE + route.path).format(**{**VALUES, "org": org}),
            headers=headers,
            params=query,
            json=body if route.has_body else None,
        )


WRITES = {200, 201, 204, 404, 409, 412}
"""Outcomes of writes that passed every check: some find another state than they need."""


async def test_route_answers_callers_with_the_permission(api: ApiUnderTest) -> None:
    for route in ROUTES:
        answer = await send(api, route)
        is_there = "{secret}" not in route.path and not route.path.endswith("/logs")
        is_plain_read = route.method == "GET" and is_there
        outcomes = {200} if is_plain_read else WRITES
        assert answer.status_code in outcomes, (route.path, answer.text)


async def test_route_refuses_strangers(api: ApiUnderTest) -> None:
    for route in ROUTES:
        answer = await send(api, route, token="other")  # noqa: S106
        assert answer.status_code == 401, (route.path, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthenticated"


async def test_route_refuses_callers_without_a_grant(api: ApiUnderTest, callers: ByToken) -> None:
    callers.grants = ()
    for route in ROUTES:
        answer = await send(api, route)
        assert answer.status_code == 403, (route.path, answer.text)
        assert "lacks the permission" in answer.json()["message"]


async def test_route_shows_and_changes_nothing_for_callers_with_grants_elsewhere(
    api: ApiUnderTest, callers: ByToken
) -> None:
    callers.grants = (Grant(EVERYTHING, "other"),)
    for route in ROUTES:
        answer = await send(api, route)
        # What has no project needs a grant in the whole org.
        outcomes = {404} if "{project}" in route.path else {403, 404}
        if route.rpc.endswith(("/ListDomains", "/GetDomain")):  # every project has the same
            outcomes = {200}
        is_empty_list = (
            route.listed is not None
            and answer.status_code == 200
            and answer.json() in ({}, {"metadata": {}})  # totals of nothing
        )
        assert answer.status_code in outcomes or is_empty_list, (route.path, answer.text)


async def test_route_refuses_every_other_org(api: ApiUnderTest) -> None:
    for route in ROUTES:
        answer = await send(api, route, org="globex")
        assert answer.status_code == 404, (route.path, answer.text)
        assert "org globex not found" in answer.json()["message"]


async def test_route_is_an_rpc_and_fills_fields_that_it_has(api: ApiUnderTest) -> None:
    for route in ROUTES:
        method = api.api.bound[route.rpc].method
        assert method.server_streaming == bool(route.lines)
        header = '"1"' if route.header is not None else ""
        build_request(Call(route, VALUES, {}, header=header), GetMessageClass(method.input_type)())
        parameters = {part.partition("}")[0] for part in route.path.split("{")[1:]}
        assert parameters == set(route.fills), route.path
