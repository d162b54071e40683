"""Tasks as the SDK itself writes them down, and the pods that come of them."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import flyte
from flyte._internal.runtime.task_serde import translate_task_to_wire
from flyte._task import TaskTemplate
from flyte.models import SerializationContext
from flyteidl2.core import tasks_pb2
from flyteidl2.task import run_pb2

from dataplane.agent.kube.objects import Object, name_attempt
from dataplane.agent.runtimes.kubernetes.pods import (
    Copilot,
    Fence,
    PodTemplates,
    ProxyAccess,
    Replica,
)
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import parse_run_settings, parse_task
from tests.unit.agent.assignments import make_assignment, make_job

with warnings.catch_warnings():  # of the SDK's own making
    warnings.simplefilter("ignore", DeprecationWarning)
    from flyte.extras import ContainerTask

IMAGE = "registry.test/work:1"
NAMESPACES = "{project}-{domain}"
PROXY = ProxyAccess(address="volary-proxy.volary.svc:8443")
FENCE = Fence(host="10.96.0.7", port=8443)
CLUSTER = PodTemplates(proxy=PROXY, fence=FENCE, copilot=Copilot(image="registry.test/copilot:1"))

_CONTEXT = SerializationContext(
    version="v1", project="p", domain="development", org="acme", root_dir=Path(__file__).parent
)


def make_environment(**raw: Any) -> flyte.TaskEnvironment:
    raw.setdefault("image", flyte.Image.from_base(IMAGE))
    return flyte.TaskEnvironment("work", **raw)


def make_task(**raw: Any) -> TaskTemplate[Any, Any, Any]:
    """Return a task whose environment was given these."""
    environment = make_environment(**raw)

    @environment.task
    async def double(x: int) -> int:
        return 2 * x

    return double


def serialise(
    task: TaskTemplate[Any, Any, Any], *, attempt: int = 1, replaceable: bool = False, **run: Any
) -> Job:
    """Return the job of a task; ``run`` is said in its RunSpec."""
    spec = translate_task_to_wire(task, _CONTEXT).SerializeToString()
    parsed = parse_task(spec)
    assignment = replace(
        make_assignment(base="s3://bucket", attempt=attempt, task_type=parsed.type),
        replaceable=replaceable,
    )
    settings = parse_run_settings(run_pb2.RunSpec(**run).SerializeToString())
    return replace(make_job(assignment), task=parsed, run=settings)


def make_raw(**raw: Any) -> Job:
    task = ContainerTask(
        **{
            "name": "greet",
            "image": flyte.Image.from_base(IMAGE),
            "command": ["sh", "-c"],
            "arguments": ["cat /var/inputs/name > /var/outputs/greeting; echo $$ $(date)"],
            "inputs": {"name": str},
            "outputs": {"greeting": str},
            **raw,
        }
    )
    environment = flyte.TaskEnvironment.from_task("raw", task)
    assert environment.name == "raw"
    return serialise(task)


def with_template(job: Job, **changed: Any) -> Job:
    template = tasks_pb2.TaskTemplate()
    template.CopyFrom(job.task.template)
    template.MergeFrom(tasks_pb2.TaskTemplate(**changed))
    return replace(job, task=replace(job.task, template=template))


def build(job: Job, cluster: PodTemplates = CLUSTER, replica: Replica | None = None) -> Object:
    name = name_attempt(job.assignment, NAMESPACES)
    return cluster.build(job, name) if replica is None else cluster.template(job, name, replica)


def main_container(pod: Object, name: str = "primary") -> Object:
    return _named(pod["spec"]["containers"], name)


def init_container(pod: Object, name: str) -> Object:
    return _named(pod["spec"]["initContainers"], name)


def volume(pod: Object, name: str) -> Object:
    return _named(pod["spec"]["volumes"], name)


def values_of(container: Object) -> Mapping[str, str]:
    """Return the variables that have values, as Kubernetes leaves them."""
    return {
        entry["name"]: entry["value"].replace("$$", "$")
        for entry in container["env"]
        if "value" in entry
    }


def _named(things: list[Object], name: str) -> Object:
    found = [thing for thing in things if thing["name"] == name]
    assert len(found) == 1, f"{name} is there {len(found)} times: {things}"
    return found[0]
