"""The resource API does what its OpenAPI document says, whatever is sent: no crash, no other answer."""

import json
from collections.abc import Iterator, Mapping
from functools import cache, reduce
from importlib.resources import files
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message_factory import GetMessageClass
from jsonschema import Draft202012Validator

from controlplane.api.resources.requests import list_parameters
from controlplane.api.resources.route import BASE, Route
from controlplane.api.resources.routes import ROUTES
from controlplane.web.openapi import RESOURCES
from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, deploy
from tests.integration.api.test_fuzz import EVIL, PLAUSIBLE, fill
from tests.integration.api.triggers import plain_trigger

ROUNDS = 12
VALUES = {
    "org": "-",
    "project": PROJECT,
    "domain": DOMAIN,
    "task": "env.main",
    "version": "v1",
    "run": "r1",
    "action": "a0",
    "secret": "token",
    "trigger": "nightly",
    "revision": "1",
}
QUERY = (
    "eq(name,r1)",
    "value_in(phase,FAILED;QUEUED)+lt(duration,1e9)",
    "gte(created_at,0001-01-01T00:00:00-23:59)",
    "gt(duration,1e400)",
    "ASCENDING",
    "created_at",
    "labels.a",
    "true",
    "1",
    "200",
    "99999999999999999999",
)


def stored() -> str:
    """Return the document; `make generated` fails if it is stale."""
    return (files("controlplane") / "api/resources/openapi.json").read_text()


@cache
def document() -> Any:
    return json.loads(stored())


def find_problems(path: str, method: str, answer: httpx.Response) -> Iterator[str]:
    """Yield in what an answer differs from the document; what it does not describe does, too."""
    described = document()["paths"][path][method.lower()]["responses"]
    if str(answer.status_code) not in described:
        yield f"status {answer.status_code} is not described"
        return
    response = described[str(answer.status_code)]
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    for name in response.get("headers", {}):
        if name not in answer.headers and answer.json().get("version"):
            yield f"no header {name}"
    if "content" not in response:
        if answer.content:
            yield "an answer, where none is described"
        return
    kind = answer.headers["content-type"]
    if kind not in response["content"]:
        yield f"content of the type {kind} is not described"
        return
    schema = response["content"][kind]["schema"]
    bodies = answer.text.splitlines() if kind == "application/x-ndjson" else [answer.text]
    for body in bodies:
        for error in validator(json.dumps(schema)).iter_errors(json.loads(body)):
            yield f"{error.json_path}: {error.message}"


@cache
def validator(schema: str) -> Draft202012Validator:
    closed = {
        name: {"additionalProperties": False, **each} if each["type"] == "object" else each
        for name, each in document()["components"]["schemas"].items()
    }
    return Draft202012Validator({**json.loads(schema), "components": {"schemas": closed}})


def hostile(route: Route, api: ApiUnderTest, chance: Random) -> Mapping[str, Any]:
    """Return the arguments of a request with hostile values in some of its parts."""

    def word(name: str) -> str:
        kind = chance.random()
        return VALUES[name] if kind < 0.8 else chance.choice(EVIL if kind < 0.9 else PLAUSIBLE)

    path = "/".join(
        quote(word(part[1:].partition("}")[0]), safe="") if part.startswith("{") else part
        for part in (BASE + route.path).split("/")
    )
    verb = route.path.rpartition("}")[2] if ":" in route.path else ""
    same = [each for each in ROUTES if (each.method, each.path) == (route.method, route.path)]
    query = {
        name: chance.choice((*QUERY, *EVIL)) if chance.random() < 0.7 else chance.choice(QUERY)
        for name in list_parameters(same)
        if chance.random() < 0.4 and name != "follow"  # that lasts until the log is complete
    }
    arguments: dict[str, Any] = {"method": route.method, "url": path + verb, "params": query}
    if route.header is not None:
        arguments["headers"] = {route.header.name: chance.choice(("r2", '"1"', "x" * 300, ""))}
    if route.body is not None:
        arguments["content"] = json.dumps(hostile_body(route, api, chance))
        arguments["headers"] = {
            "content-type": "application/json",
            **arguments.get("headers", {}),
        }
    return arguments


def hostile_body(route: Route, api: ApiUnderTest, chance: Random) -> Any:
    """Return a body with random fields; those without a form in JSON are drawn again."""
    while True:
        request = GetMessageClass(api.api.bound[route.rpc].method.input_type)()
        body: Any = reduce(getattr, route.body.split("."), request) if route.body else request
        fill(body, chance)
        if not route.body:
            filled = (*route.fills.values(), *route.also.values())
            for name in {path.partition(".")[0] for path in filled}:
                body.ClearField(name)
        try:
            return MessageToDict(body)
        except (SerializeToJsonError, ValueError):
            continue


async def test_hostile_requests_are_answered_as_the_document_says(
    api: ApiUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    await api.runs.create_run(create_run())
    await api.tasks.deploy_task(deploy())
    seen: dict[int, int] = {}
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as http:
        for number, route in enumerate(ROUTES):
            chance = Random(number)
            for _ in range(ROUNDS):
                arguments = hostile(route, api, chance)
                answer = await http.request(**arguments)
                problems = list(find_problems(BASE + route.path, route.method, answer))
                assert not problems, (arguments, problems)
                assert answer.status_code < 500, (arguments, answer.text)
                seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
    assert seen.keys() >= {200, 400, 404}, seen
    assert not [record for record in caplog.records if record.message == "call failed"]


async def test_plain_answers_are_those_of_the_document(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    await api.tasks.deploy_task(deploy())
    await api.triggers.deploy_trigger(plain_trigger())
    await api.finish()
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as http:
        for route in ROUTES:
            if route.method != "GET":
                continue
            query = {route.flag: "true"} if route.flag else {}
            query |= {"attempt": "1"} if route.lines else {}
            answer = await http.get((BASE + route.path).format(**VALUES), params=query)
            is_missing = "{secret}" in route.path
            assert answer.status_code == (404 if is_missing else 200), answer.text
            assert not list(find_problems(BASE + route.path, "GET", answer)), route.path


async def test_document_is_served(api: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as http:
        served = await http.get(RESOURCES)

    assert served.text == stored()
    assert served.json()["openapi"] == "3.1.0"


def test_document_has_every_route() -> None:
    described = {
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
    }

    assert described == {(route.method, BASE + route.path) for route in ROUTES}
    identifiers = [
        operation["operationId"]
        for methods in document()["paths"].values()
        for operation in methods.values()
    ]
    assert len(identifiers) == len(set(identifiers))
