"""Parses TaskSpec and RunSpec into the fields that runtimes use; flyteidl2 stays behind this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from flyteidl2.core import tasks_pb2, types_pb2
from flyteidl2.task import run_pb2, task_definition_pb2
from google.protobuf.message import DecodeError

from dataplane.agent.runtimes.pod_spec_parsing import find_flaw, read_pod_spec
from shared.kit.quantities import read_quantity


class BadSpecError(Exception):
    """The spec cannot be run; the message is for the task's author."""

    code = "BadSpec"  # of the failure


class NoPrimaryContainerError(BadSpecError):
    """The pod template has no container of the primary container's name."""

    code = "PrimaryContainerNotFound"  # the SDK has an exception for it


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    is_duration: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The task's container, or the primary container of its pod template."""

    image: str = ""
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory_limit: int | None = None  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    name: str
    type: str
    container: Container | None
    inputs: Sequence[Variable]
    outputs: Sequence[Variable]
    has_report: bool
    max_runtime: timedelta | None
    template: tasks_pb2.TaskTemplate = field(repr=False)  # unparsed, for Kubernetes' plugins


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    spec: run_pb2.RunSpec = field(default_factory=run_pb2.RunSpec, repr=False)  # unparsed


def parse_task(body: bytes) -> Task:
    try:
        spec = task_definition_pb2.TaskSpec.FromString(body)
    except DecodeError as error:
        raise BadSpecError("the task's spec is not a TaskSpec") from error
    template = spec.task_template
    interface = template.interface
    return Task(
        name=template.id.name,
        type=template.type,
        container=_parse_container(template),
        inputs=_parse_variables(interface.inputs),
        outputs=_parse_variables(interface.outputs),
        has_report=template.metadata.generates_deck.value,
        max_runtime=template.metadata.timeout.ToTimedelta() or None,
        template=template,
    )


def parse_run_settings(body: bytes) -> RunSettings:
    try:
        spec = run_pb2.RunSpec.FromString(body)
    except DecodeError as error:
        raise BadSpecError("the run's spec is not a RunSpec") from error
    return RunSettings(env={pair.key: pair.value for pair in spec.envs.values}, spec=spec)


def parse_quantity(text: str) -> int:
    """Return a Kubernetes quantity ("512Mi", "1.5G", "1e9") as bytes."""
    amount = read_quantity(text)
    if amount is None:
        raise BadSpecError(f"{text!r} is not an amount of memory; write 512Mi or 2G")
    return max(1, int(amount)) if amount else 0


def _parse_variables(variables: "tasks_pb2.interface_pb2.VariableMap") -> Sequence[Variable]:
    return [
        Variable(entry.key, entry.value.type.simple == types_pb2.SimpleType.DURATION)
        for entry in variables.variables
    ]


def _parse_container(template: tasks_pb2.TaskTemplate) -> Container | None:
    match template.WhichOneof("target"):
        case "container":
            container = template.container
            return Container(
                image=container.image,
                command=list(container.command),
                args=list(container.args),
                env={pair.key: pair.value for pair in container.env},
                memory_limit=_find_memory(container.resources),
            )
        case "k8s_pod":
            return _parse_pod(template)
        case _:
            return None


def _find_memory(resources: tasks_pb2.Resources) -> int | None:
    """Return the memory limit in bytes; a request without a limit is the limit, as in Flyte."""
    for entries in (resources.limits, resources.requests):
        for entry in entries:
            if entry.name == tasks_pb2.Resources.MEMORY:
                return parse_quantity(entry.value)
    return None


def _parse_pod(template: tasks_pb2.TaskTemplate) -> Container | None:
    pod = read_pod_spec(template.k8s_pod.pod_spec)
    if flaw := find_flaw(pod, "pod_spec"):
        raise BadSpecError(flaw)
    containers = pod.get("containers") or []
    primary = template.k8s_pod.primary_container_name or template.config.get(
        "primary_container_name", "primary"
    )
    for container in containers:
        if container.get("name") == primary:
            resources = container.get("resources") or {}
            memory = (resources.get("limits") or {}).get("memory") or (
                resources.get("requests") or {}
            ).get("memory")
            return Container(
                image=container.get("image", ""),
                command=container.get("command") or [],
                args=container.get("args") or [],
                env={
                    entry["name"]: entry.get("value", "")
                    for entry in container.get("env") or []
                    if "valueFrom" not in entry
                },
                memory_limit=parse_quantity(str(memory)) if memory else None,
            )
    return None
