"""Tests of parsing the SDK's task specs, as far as the runtimes need them."""

from datetime import timedelta

import pytest
from flyteidl2.core import tasks_pb2
from flyteidl2.task import run_pb2, task_definition_pb2
from google.protobuf import json_format

from dataplane.agent.runtimes.tasks import (
    BadSpecError,
    parse_quantity,
    parse_run_settings,
    parse_task,
)


def make_spec(**template: object) -> bytes:
    spec = task_definition_pb2.TaskSpec(task_template=tasks_pb2.TaskTemplate())
    json_format.ParseDict({"taskTemplate": template}, spec)
    return bytes(spec.SerializeToString())


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("512Mi", 512 * 2**20),
        ("1.5G", 1_500_000_000),
        ("2Gi", 2 * 2**30),
        ("1e9", 10**9),
        ("128974848", 128974848),
        ("700k", 700_000),
        ("1Ti", 2**40),
        ("128974848000m", 128974848),
    ],
)
def test_quantity_is_parsed_like_kubernetes(text: str, amount: int) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize("text", ["", "lots", "1.2.3", "-1Gi", "1 GB", "1e999", "0x10"])
def test_invalid_quantity_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(BadSpecError, match="is not an amount of memory"):
        parse_quantity(text)


def test_plain_task_spec_is_parsed() -> None:
    task = parse_task(
        make_spec(
            id={"name": "env.main"},
            type="python",
            metadata={"timeout": "90s", "generatesDeck": True},
            interface={
                "inputs": {"variables": [{"key": "d", "value": {"type": {"simple": "DURATION"}}}]},
                "outputs": {"variables": [{"key": "o0", "value": {"type": {"simple": "INTEGER"}}}]},
            },
            container={
                "image": "i:1",
                "args": ["a0", "--inputs"],
                "env": [{"key": "A", "value": "1"}],
                "resources": {
                    "requests": [{"name": "MEMORY", "value": "1Gi"}],
                    "limits": [{"name": "MEMORY", "value": "2Gi"}],
                },
            },
        )
    )

    assert (task.name, task.type, task.has_report) == ("env.main", "python", True)
    assert task.max_runtime == timedelta(seconds=90)
    assert [(each.name, each.is_duration) for each in task.inputs] == [("d", True)]
    assert [each.name for each in task.outputs] == ["o0"]
    assert task.container is not None
    assert (task.container.image, task.container.args) == ("i:1", ["a0", "--inputs"])
    assert task.container.env == {"A": "1"}
    assert task.container.memory_limit == 2 * 2**30


def test_resource_request_without_limit_is_the_limit() -> None:
    body = make_spec(
        container={"resources": {"requests": [{"name": "MEMORY", "value": "1Gi"}]}},
    )
    container = parse_task(body).container

    assert container is not None
    assert container.memory_limit == 2**30


def test_pod_template_primary_container_is_the_tasks() -> None:
    body = make_spec(
        config={"primary_container_name": "main"},
        k8sPod={
            "podSpec": {
                "containers": [
                    {"name": "sidecar", "args": ["sleep"]},
                    {
                        "name": "main",
                        "image": "i:2",
                        "args": ["a0"],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}],
                        "resources": {"limits": {"memory": "1Gi"}},
                    },
                ]
            }
        },
    )
    container = parse_task(body).container

    assert container is not None
    assert (container.image, container.args) == ("i:2", ["a0"])
    assert container.env == {"A": "1"}
    assert container.memory_limit == 2**30


def test_task_without_timeout_has_none() -> None:
    assert parse_task(make_spec(type="python")).max_runtime is None


def test_run_environment_is_parsed() -> None:
    spec = run_pb2.RunSpec()
    spec.envs.values.add(key="LOG_LEVEL", value="10")

    assert parse_run_settings(spec.SerializeToString()).env == {"LOG_LEVEL": "10"}


@pytest.mark.parametrize("parse", [parse_task, parse_run_settings])
def test_spec_that_is_no_message_is_refused(parse: type) -> None:
    with pytest.raises(BadSpecError):
        parse(b"\xff\xff\xff")
