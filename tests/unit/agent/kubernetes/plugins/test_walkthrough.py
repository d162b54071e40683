"""The worked example of how to add a plugin is one that works."""

import collections.abc
import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from dataplane.agent.kube import objects
from dataplane.agent.runtimes import protocol
from dataplane.agent.runtimes.kubernetes import pending_reasons, plugin, plugins, pods
from dataplane.agent.runtimes.kubernetes.plugin import ObservationContext, Plugin, Stage
from dataplane.agent.runtimes.kubernetes.plugins import specs, workers
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.assignments import NOW
from tests.unit.agent.kubernetes.plugins.jobs import job_of, make_template, name_of
from tests.unit.agent.kubernetes.pods.sdk import CLUSTER

_DECISIONS = Path(str(plugins.__file__)).with_name("DECISIONS.md")


def _make_message(shards: int) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="batch.proto", package="example")
    batch = file.message_type.add(name="BatchTask")
    batch.field.add(name="shards", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT32)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("example.BatchTask"))
    return kind(shards=shards)


@pytest.fixture
def example() -> Plugin:
    (code,) = re.findall(r"```python\n(.*?)```", _DECISIONS.read_text(), re.DOTALL)
    known: dict[str, Any] = {"batch_pb2": SimpleNamespace(BatchTask=type(_make_message(0)))}
    for module in (
        *(
            collections.abc,
            dataclasses,
            objects,
            protocol,
            plugin,
            specs,
            workers,
            pods,
            pending_reasons,
        ),
    ):
        known |= {name: value for name, value in vars(module).items() if name[0] != "_"}
    exec(code, known)  # noqa: S102 - our own words
    made: Plugin = known["BatchPlugin"]()
    return made


def test_walkthrough_plugin_builds_and_refuses(example: Plugin) -> None:
    job = job_of(make_template("batch", _make_message(3)))
    resource = example.build(job, name_of(job), CLUSTER)
    assert (resource["kind"], resource["spec"]["shards"]) == ("Batch", 3)
    assert resource["spec"]["template"]["metadata"]["labels"]["volary.dev/role"] == "shard"
    none = job_of(make_template("batch", _make_message(0)))
    with pytest.raises(BadSpecError, match="needs at least 1"):
        example.build(none, name_of(none), CLUSTER)


@pytest.mark.parametrize(
    ("status", "stage"),
    [
        ({}, Stage.QUEUED),
        ({"state": "Starting"}, Stage.QUEUED),
        ({"state": "Running"}, Stage.RUNNING),
        ({"state": "InventedLater"}, Stage.RUNNING),
        ({"state": "Done"}, Stage.SUCCEEDED),
        ({"state": "Failed"}, Stage.FAILED),
    ],
)
def test_walkthrough_plugin_observes(example: Plugin, status: dict[str, str], stage: Stage) -> None:
    job = job_of(make_template("batch", _make_message(3)))
    resource = {**example.build(job, name_of(job), CLUSTER), "status": status}
    around = ObservationContext(now=NOW, pods=(), events=())
    assert example.observe(job, resource, around).stage is stage
