"""Reading what a task type's SDK plugin wrote into ``custom``, and laying pods over the task's."""

from collections.abc import Mapping
from typing import Any, TypeVar

from flyteidl2.core import tasks_pb2
from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message

from dataplane.agent.runtimes.kubernetes.pods.merging import merge
from dataplane.agent.runtimes.kubernetes.pods.own import read_own
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError

_M = TypeVar("_M", bound=Message)

_OBJECTS = frozenset({"limits", "nodeSelector", "requests", "resources", "securityContext"})
_AMOUNTS = frozenset({"limits", "requests"})
_LISTS: Mapping[str, str] = {  # and by what the things in them are known
    "containers": "name",
    "env": "name",
    "envFrom": "",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "tolerations": "",
    "volumeMounts": "mountPath",
    "volumes": "name",
}


def read_custom(job: Job, kind: type[_M]) -> _M:
    """Return the task's ``custom`` as the message it stands for; a newer SDK may say more."""
    message = kind()
    try:
        json_format.ParseDict(
            json_format.MessageToDict(job.task.template.custom), message, ignore_unknown_fields=True
        )
    except json_format.ParseError as error:
        raise BadSpecError(
            f"what task {job.task.name} says of its {job.task.type} job cannot be read: {error}"
        ) from error
    return message


def lay_over(
    template: tasks_pb2.TaskTemplate, above: tasks_pb2.K8sPod, name: str
) -> tasks_pb2.K8sPod:
    """
    Return the task's own pod with ``above`` laid over it, as one K8sPod.

    The container of ``above`` that is meant is the one it calls primary, else ``name``, else
    the task's primary, else its only one; it may leave out what the task says already, above
    all the image.
    """
    own = read_own(template)
    spec = _without_nulls(json_format.MessageToDict(above.pod_spec))
    _check_form(spec, f"the pod template of {name}")
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


def _without_nulls(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _without_nulls(each) for name, each in node.items() if each is not None}
    if isinstance(node, list):
        return [_without_nulls(each) for each in node if each is not None]
    return node


def _check_form(node: Mapping[str, Any], path: str) -> None:
    """Refuse what could not be laid over anything; the API server looks at the rest."""
    for name, value in node.items():
        if name in _OBJECTS and not isinstance(value, dict):
            raise BadSpecError(f"{path}: {name} is no object")
        if name in _AMOUNTS and not all(isinstance(each, str | float) for each in value.values()):
            raise BadSpecError(f"{path}: {name} has something that is no amount")
        if name in _OBJECTS:
            _check_form(value, f"{path}: {name}")
        if name not in _LISTS:
            continue
        key = _LISTS[name]
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise BadSpecError(f"{path}: {name} is no list of objects")
        if not all(isinstance(each.get(key), str | float) for each in value if key):
            raise BadSpecError(f"{path}: something in {name} has no {key}")
        for number, each in enumerate(value):
            _check_form(each, f"{path}: {name}[{number}]")


def need_at_least(count: int, least: int, what: str, job: Job) -> int:
    if count < least:
        raise BadSpecError(
            f"task {job.task.name} asks for {count} {what}; it needs at least {least}"
        )
    return count
