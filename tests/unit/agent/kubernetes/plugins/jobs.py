"""Jobs of distributed tasks, as the SDK's plugins write them, and what becomes of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flyteidl2.core import tasks_pb2
from flyteidl2.task import task_definition_pb2
from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message

from dataplane.agent.kube.objects import Name, name_attempt
from dataplane.agent.runtimes.kubernetes.plugin import Plugin
from dataplane.agent.runtimes.kubernetes.plugins.registry import all_plugins, find_plugin
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.kubernetes.pods.metadata import ROLE_LABEL
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import parse_task
from tests.unit.agent.assignments import make_assignment, make_job
from tests.unit.agent.kubernetes.pods.sdk import CLUSTER

TASKS = Path(__file__).with_name("tasks")
SDK_TASKS = sorted(path.stem for path in TASKS.glob("*.json"))


def load_template(name: str) -> tasks_pb2.TaskTemplate:
    body = json.loads((TASKS / f"{name}.json").read_text())
    template: tasks_pb2.TaskTemplate = json_format.ParseDict(body, tasks_pb2.TaskTemplate())
    return template


def make_template(task_type: str, custom: Message, version: int = 1) -> tasks_pb2.TaskTemplate:
    """A task of a type for which the SDK has no plugin of its own yet."""
    template = load_template("dask")
    template.type, template.task_type_version = task_type, version
    body = struct_pb2.Struct()
    body.update(json_format.MessageToDict(custom))
    template.custom.CopyFrom(body)
    return template


def job_of(template: tasks_pb2.TaskTemplate) -> Job:
    spec = task_definition_pb2.TaskSpec(task_template=template).SerializeToString()
    task = parse_task(spec)
    assignment = make_assignment(base="s3://bucket", task_type=task.type)
    return replace(make_job(assignment), task=task)


def sdk_job(name: str) -> Job:
    return job_of(load_template(name))


def plugin_of(job: Job) -> Plugin:
    plugin = find_plugin(all_plugins(), job.task.type)
    assert plugin is not None
    return plugin


def name_of(job: Job) -> Name:
    return name_attempt(job.assignment, "{project}-{domain}")


def build(job: Job, pods: PodTemplates = CLUSTER) -> Any:
    """Build the job's resource, as JSON: any structure."""
    return json.loads(json.dumps(plugin_of(job).build(job, name_of(job), pods)))


def container(template: Mapping[str, Any], name: str) -> Any:
    return next(each for each in template["spec"]["containers"] if each["name"] == name)


def variables(template: Mapping[str, Any], name: str) -> dict[str, Any]:
    env = container(template, name)["env"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in env}


def pod_templates(node: Any) -> Iterator[Any]:
    """Find the pods of all roles in a resource's spec, wherever they stand."""
    if isinstance(node, list):
        for each in node:
            yield from pod_templates(each)
    elif isinstance(node, dict):
        labels = (node.get("metadata") or {}).get("labels") or {}
        if ROLE_LABEL in labels:
            yield node
        else:
            for each in node.values():
                yield from pod_templates(each)
