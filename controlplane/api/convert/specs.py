"""
Parses TaskSpecs and other specs: stored by digest, and parsed once per digest.

A fan-out sends the same TaskSpec thousands of times, so parsed fields are cached by digest.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from flyteidl2.core.tasks_pb2 import TaskMetadata, TaskTemplate
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec, TraceSpec
from flyteidl2.workflow.run_definition_pb2 import ConditionAction
from google.protobuf import json_format
from google.protobuf.message import Message

from controlplane.api.convert.environments import check_run, check_task
from controlplane.api.convert.resource_requests import parse_requests
from controlplane.api.convert.strings import parse_label, parse_text
from controlplane.api.convert.timestamps import parse_duration
from controlplane.core.actions import RetryPolicy, Spec, SpecKind, TaskInfo
from controlplane.core.errors import InvalidError
from shared.kit.cache import LruCache
from shared.model.ids import Digest

MAX_SPEC_BYTES = 4 * 1024 * 1024
ON_DISCONNECT = "VOLARY_ON_DISCONNECT"
"""An environment variable of the task: the SDK has no field for this setting."""
ON_DISCONNECT_KEY = "volary.dev/on-disconnect"
"""The same as a label or annotation of the task's pod template."""
MAX_RETRIES = 1000

_KEPT = 512
_MAX_KEPT_BYTES = 64 * 1024  # largest spec that is cached; together at most 32 MiB

_Read = tuple[Spec, TaskInfo]
_read: LruCache[Digest, _Read] = LruCache(_KEPT)


def parse_task_spec(message: TaskSpec) -> tuple[Spec, TaskInfo]:
    """Parse a TaskSpec; InvalidError for one that no attempt could be made of."""
    body = _serialise(message, "task spec")
    digest = _digest(body)
    known = _read.get(digest)
    if known is not None:
        return known
    check_task(message.task_template)
    read = (
        Spec(
            digest=digest,
            kind=SpecKind.TASK,
            body=body,
            policy=_parse_policy(message),
            produces_artifacts=message.task_template.metadata.produces_artifacts,
            requests=parse_requests(message.task_template),
            has_outputs=bool(message.task_template.interface.outputs.variables),
        ),
        _parse_info(message),
    )
    if len(body) <= _MAX_KEPT_BYTES:
        _read[digest] = read
    return read


def parse_reported_spec(message: TaskSpec) -> tuple[Spec, TaskInfo]:
    """
    Parse the TaskSpec of an action that a program runs itself; for display only.

    One that no attempt could be made of is kept as well. Others are parsed as those of attempts
    are, because equal specs are stored once, with one policy.
    """
    try:
        return parse_task_spec(message)
    except InvalidError:
        body = _serialise(message, "task spec")
    template = message.task_template
    info = TaskInfo(
        org=template.id.org,
        project=parse_label(template.id.project, most=63),
        domain=parse_label(template.id.domain, most=63),
        name=parse_label(template.id.name, most=255),
        version=parse_label(template.id.version, most=63),
        short_name=parse_label(message.short_name, most=63),
        task_type=parse_label(template.type, most=63),
        environment=parse_label(message.environment.name, most=63),
        function=parse_label(template.id.name.rpartition(".")[2], most=255),
    )
    return Spec(digest=_digest(body), kind=SpecKind.TASK, body=body), info


def parse_run_spec(message: RunSpec) -> Spec:
    check_run(message)
    return _spec(message, SpecKind.RUN, "run spec")


def parse_trace_spec(message: TraceSpec) -> Spec:
    return _spec(message, SpecKind.TRACE, "trace spec")


def parse_condition_spec(message: ConditionAction) -> Spec:
    return _spec(message, SpecKind.CONDITION, "condition")


def _spec(message: Message, kind: SpecKind, what: str) -> Spec:
    body = _serialise(message, what)
    return Spec(digest=_digest(body), kind=kind, body=body)


def _serialise(message: Message, what: str) -> bytes:
    """Serialise deterministically: equal messages have equal bytes, and so equal digests."""
    body: bytes = message.SerializeToString(deterministic=True)
    if len(body) > MAX_SPEC_BYTES:
        raise InvalidError(f"the {what} is {len(body)} bytes; at most {MAX_SPEC_BYTES} are allowed")
    return body


def _digest(body: bytes) -> Digest:
    return Digest(hashlib.sha256(body).digest())


def _parse_info(message: TaskSpec) -> TaskInfo:
    template = message.task_template
    name = parse_text(template.id.name, "task_template.id.name", most=255)
    return TaskInfo(
        org=template.id.org,
        project=parse_text(template.id.project, "task_template.id.project", most=63),
        domain=parse_text(template.id.domain, "task_template.id.domain", most=63),
        name=name,
        version=parse_text(template.id.version, "task_template.id.version", most=63),
        short_name=parse_text(message.short_name, "short_name", most=63),
        task_type=parse_text(template.type, "task_template.type", most=63),
        environment=parse_text(message.environment.name, "environment.name", most=63),
        function=name.rpartition(".")[2],  # the SDK's names are {environment}.{function}
    )


def _parse_policy(message: TaskSpec) -> RetryPolicy:
    metadata: TaskMetadata = message.task_template.metadata
    retries = metadata.retries.retries
    if retries > MAX_RETRIES:
        raise InvalidError(f"retries: must be at most {MAX_RETRIES}, not {retries}")
    backoff = metadata.retries.backoff
    return RetryPolicy(
        retries=retries,
        backoff_base=parse_duration(backoff.base, "retries.backoff.base"),
        backoff_factor=backoff.factor if backoff.HasField("factor") else 1.0,
        backoff_cap=parse_duration(backoff.cap, "retries.backoff.cap"),
        max_runtime=parse_duration(metadata.timeout, "timeout"),
        queued_timeout=parse_duration(metadata.timeouts.queued_timeout, "timeouts.queued_timeout"),
        deadline=parse_duration(metadata.timeouts.deadline, "timeouts.deadline"),
        replaceable=_parse_on_disconnect(message.task_template),
    )


def _parse_on_disconnect(template: TaskTemplate) -> bool:
    """
    Parse the task's policy for a cluster cut off for long: a variable, label or annotation.

    The variable is the main container's, with or without a pod template; label and annotation
    are the pod template's. If several are set they must agree.
    """
    given: dict[str, str] = {}
    if template.WhichOneof("target") == "k8s_pod":
        metadata = template.k8s_pod.metadata
        for place, values in (("label", metadata.labels), ("annotation", metadata.annotations)):
            if ON_DISCONNECT_KEY in values:
                given[f"the {place} {ON_DISCONNECT_KEY}"] = values[ON_DISCONNECT_KEY]
        variables = _variables_of_pod(template)
    else:
        variables = {pair.key: pair.value for pair in template.container.env}
    if ON_DISCONNECT in variables:
        given[ON_DISCONNECT] = variables[ON_DISCONNECT]
    for place, value in given.items():
        if value not in {"keep", "replace"}:
            raise InvalidError(f"{place} is {value!r}; must be keep or replace")
    if len(set(given.values())) > 1:
        differing = " and ".join(f"{place} is {value}" for place, value in given.items())
        raise InvalidError(f"{differing}; set them to the same value")
    return "replace" in given.values()


def _variables_of_pod(template: TaskTemplate) -> dict[str, str]:
    """Return the literal variables of a pod's main container; a malformed pod has none."""
    pod = template.k8s_pod
    primary = pod.primary_container_name or template.config.get("primary_container_name", "primary")
    return {
        entry["name"]: str(entry.get("value", ""))
        for container in _objects_in(json_format.MessageToDict(pod.pod_spec), "containers")
        if container.get("name") == primary
        for entry in _objects_in(container, "env")
        if isinstance(entry.get("name"), str)
    }


def _objects_in(parent: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = parent.get(name)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
