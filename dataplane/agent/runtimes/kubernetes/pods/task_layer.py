"""Read the task's own layer of its pod: a container, or a pod_spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flyteidl2.core import tasks_pb2

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods.environment import literal, variables
from dataplane.agent.runtimes.kubernetes.pods.replicas import Replica
from dataplane.agent.runtimes.kubernetes.pods.resources import read_resources
from dataplane.agent.runtimes.pod_spec_parsing import find_flaw, read_pod_spec
from dataplane.agent.runtimes.tasks import BadSpecError, NoPrimaryContainerError

PRIMARY = "primary"
"""Name of a task's container, unless its pod template sets another."""

_ARCHITECTURES: Mapping[int, str] = {
    tasks_pb2.Container.AMD64: "amd64",
    tasks_pb2.Container.ARM64: "arm64",
    tasks_pb2.Container.ARM_V6: "arm",
    tasks_pb2.Container.ARM_V7: "arm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPodLayer:
    """The task's layer of the pod."""

    spec: Mapping[str, Any]
    primary: str  # the name of one of its containers
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def primary_name(template: tasks_pb2.TaskTemplate, replica: Replica | None = None) -> str:
    """Return the name of the container whose end is the task's end."""
    if replica is not None and replica.container_name:
        return replica.container_name
    pod = _pod(template, replica)
    if pod is None:
        return PRIMARY
    return _named_primary(pod, template)


def read_task_layer(
    template: tasks_pb2.TaskTemplate, replica: Replica | None = None
) -> TaskPodLayer:
    """Return the task's layer, or the replica's; BadSpecError if it has no container."""
    pod = _pod(template, replica)
    if pod is not None:
        own = _read_pod(pod, template)
    elif template.WhichOneof("target") == "container":
        own = TaskPodLayer(spec=_read_container(template.container), primary=PRIMARY)
    else:
        raise BadSpecError(
            f"task {template.id.name} of type {template.type} has neither a container nor a pod"
            " template, so this cluster cannot run it"
        )
    return own if replica is None else _lay_replica(own, replica)


def _pod(template: tasks_pb2.TaskTemplate, replica: Replica | None) -> tasks_pb2.K8sPod | None:
    if replica is not None and replica.pod is not None:
        return replica.pod
    return template.k8s_pod if template.WhichOneof("target") == "k8s_pod" else None


def _named_primary(pod: tasks_pb2.K8sPod, template: tasks_pb2.TaskTemplate) -> str:
    return str(pod.primary_container_name or template.config.get("primary_container_name", PRIMARY))


def _read_container(container: tasks_pb2.Container) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": PRIMARY,
        "image": container.image,
        "command": [literal(word) for word in container.command],
        "args": [literal(word) for word in container.args],
        "env": variables({pair.key: pair.value for pair in container.env}),
        "resources": read_resources(container.resources),
        "ports": [
            {"containerPort": port.container_port, **({"name": port.name} if port.name else {})}
            for port in container.ports
        ],
    }
    spec: dict[str, Any] = {"containers": [{name: value for name, value in made.items() if value}]}
    if architecture := _ARCHITECTURES.get(container.architecture):
        spec["nodeSelector"] = {"kubernetes.io/arch": architecture}
    return spec


def _read_pod(pod: tasks_pb2.K8sPod, template: tasks_pb2.TaskTemplate) -> TaskPodLayer:
    spec = read_pod_spec(pod.pod_spec)
    asked = _named_primary(pod, template)
    if flaw := find_flaw(spec, "pod_spec"):
        raise BadSpecError(flaw)
    containers = spec.get("containers")
    if not containers or not all(each["name"] for each in containers):
        raise BadSpecError("pod_spec.containers is not a list of containers with names")
    names = [each["name"] for each in containers]
    if asked not in names:
        raise NoPrimaryContainerError(
            f"pod_spec.containers has {', '.join(map(repr, names))} and no container {asked!r};"
            " name one of them as primary_container_name"
        )
    if spec.get("restartPolicy", "Never") != "Never":
        raise BadSpecError(
            f"pod_spec.restartPolicy is {spec['restartPolicy']!r}; leave it out, and use the"
            " task's retries"
        )
    return TaskPodLayer(
        spec=spec,
        primary=asked,
        labels=dict(pod.metadata.labels),
        annotations=dict(pod.metadata.annotations),
    )


def _lay_replica(own: TaskPodLayer, replica: Replica) -> TaskPodLayer:
    primary = replica.container_name or own.primary
    containers = []
    for container in own.spec["containers"]:
        laid = dict(container)
        if laid["name"] == own.primary:
            laid = {**laid, "name": primary, **_read_replica(laid, replica)}
        containers.append(laid)
    return TaskPodLayer(
        spec={**own.spec, "containers": containers},
        primary=primary,
        labels=own.labels,
        annotations=own.annotations,
    )


def _read_replica(container: Object, replica: Replica) -> dict[str, Any]:
    text: dict[str, Any] = {}
    if replica.image:
        text["image"] = replica.image
    if replica.command is not None:
        text["command"] = [literal(word) for word in replica.command]
    if replica.args is not None:
        text["args"] = [literal(word) for word in replica.args]
    added = [*variables(replica.env), *replica.references]
    if added:
        text["env"] = [*(container.get("env") or ()), *added]
    if replica.resources is not None and (asked := read_resources(replica.resources)):
        text["resources"] = asked
    return text
