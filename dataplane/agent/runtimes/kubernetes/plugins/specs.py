"""Parse the ``custom`` message of a task type, and merge pod specs over the task's pod."""

from typing import Any, TypeVar

from flyteidl2.core import tasks_pb2
from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message

from dataplane.agent.runtimes.kubernetes.pods.merging import merge
from dataplane.agent.runtimes.kubernetes.pods.task_layer import read_task_layer
from dataplane.agent.runtimes.pod_spec_parsing import find_flaw, read_pod_spec
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError

_M = TypeVar("_M", bound=Message)


def read_custom(job: Job, kind: type[_M]) -> _M:
    """Return the task's ``custom`` as a message; unknown fields of newer SDKs are ignored."""
    message = kind()
    try:
        json_format.ParseDict(
            json_format.MessageToDict(job.task.template.custom), message, ignore_unknown_fields=True
        )
    except json_format.ParseError as error:
        raise BadSpecError(
            f"the {job.task.type} spec of task {job.task.name} cannot be parsed: {error}"
        ) from error
    return message


def lay_over(
    template: tasks_pb2.TaskTemplate, above: tasks_pb2.K8sPod, name: str
) -> tasks_pb2.K8sPod:
    """
    Return the task's own pod with ``above`` merged over it, as one K8sPod.

    The container of ``above`` that applies is the one it calls primary, else ``name``, else the
    task's primary, else its only one; it may omit what the task already specifies, above all
    the image.
    """
    own = read_task_layer(template)
    spec = read_pod_spec(above.pod_spec)
    if flaw := find_flaw(spec, "pod_spec"):
        raise BadSpecError(f"in the pod template of {name} {flaw}")
    spec.setdefault("containers", [])
    meant = _find_meant(spec["containers"], [above.primary_container_name, name, own.primary])
    if meant is not None:
        meant["name"] = own.primary
    body = struct_pb2.Struct()
    body.update(merge(own.spec, spec))
    laid = tasks_pb2.K8sPod(pod_spec=body, primary_container_name=own.primary)
    for field in ("labels", "annotations"):
        getattr(laid.metadata, field).update(getattr(own, field))
        getattr(laid.metadata, field).update(getattr(above.metadata, field))
    return laid


def _find_meant(containers: list[dict[str, Any]], names: list[str]) -> dict[str, Any] | None:
    by_name = {each.get("name"): each for each in containers}
    for name in names:
        if name in by_name:
            return by_name[name]
    return containers[0] if len(containers) == 1 else None


def need_at_least(count: int, least: int, what: str, job: Job) -> int:
    if count < least:
        raise BadSpecError(
            f"task {job.task.name} requests {count} {what}; it needs at least {least}"
        )
    return count
