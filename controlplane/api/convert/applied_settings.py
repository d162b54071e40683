"""
Applies scoped settings to a run that is created: what its RunSpec leaves open comes from them.

The result is stored with the run, and its attempts get it, so a later change of settings
changes no run that exists. What a client sends as ``default_settings`` is dropped.
"""

from collections.abc import Iterator, Mapping

from flyteidl2.core.literals_pb2 import KeyValuePair
from flyteidl2.core.tasks_pb2 import Resources, TaskTemplate
from flyteidl2.task.run_pb2 import RunSpec
from google.protobuf import json_format

from controlplane.api.convert.scoped_settings import parse_accelerator
from controlplane.core.errors import InvalidError
from controlplane.core.scoped_settings import Effective, name_level
from shared.kit.quantities import read_quantity

_RESOURCES: Mapping[str, Resources.ResourceName.ValueType] = {
    "cpu": Resources.CPU,
    "gpu": Resources.GPU,
    "memory": Resources.MEMORY,
    "storage": Resources.EPHEMERAL_STORAGE,
}
_SAME_AS = {Resources.STORAGE: Resources.EPHEMERAL_STORAGE}
_OF_PODS = {"ephemeral-storage": "storage"}


def drop_client_defaults(spec: RunSpec) -> RunSpec:
    """Return the RunSpec that was asked for: only the server sets ``default_settings``."""
    if not spec.HasField("default_settings"):
        return spec
    asked = RunSpec()
    asked.CopyFrom(spec)
    asked.ClearField("default_settings")
    return asked


def apply_settings(asked: RunSpec, effective: Effective) -> RunSpec:
    """Return the RunSpec of a run: what was asked for, then what its scope's settings add."""
    if not effective:
        return asked
    values = {key: each.value for key, each in effective.items()}
    spec = RunSpec()
    spec.CopyFrom(asked)
    for message, field, key in (
        (spec, "queue", "run.default_queue"),
        (spec, "run_base_dir", "run.run_base_dir"),
        (spec, "max_action_concurrency", "run.max_action_concurrency"),
        (spec.raw_data_storage, "raw_data_prefix", "storage.raw_data_path"),
        (spec.security_context.run_as, "k8s_service_account", "security.service_account"),
    ):
        if key in values and not getattr(message, field):
            setattr(message, field, values[key])
    for field in ("labels", "annotations"):
        for name, text in _entries(values, field):
            if name not in getattr(spec, field).values:
                getattr(spec, field).values[name] = text
    given = {each.key for each in spec.envs.values}
    spec.envs.values.extend(
        KeyValuePair(key=name, value=text)
        for name, text in _entries(values, "environment_variables")
        if name not in given
    )
    _stamp_defaults(spec, values)
    return spec


def require_within(template: TaskTemplate, effective: Effective) -> None:
    """Raise InvalidError, naming key and level, for a container that asks for more than its maximum."""
    for resource in _RESOURCES:
        found = effective.get(f"task_resource.max.{resource}")
        if found is not None:
            whose = f"the {name_level(found)}'s settings"
            _require_amounts(template, resource, str(found.value), whose)


def read_maxima(spec: RunSpec) -> Mapping[str, str]:
    """Return the most of each resource that a task of the run may ask for, as it was created with."""
    most = {each.name: each.value for each in spec.default_settings.task_resource_defaults.max}
    return {name: most[number] for name, number in _RESOURCES.items() if number in most}


def require_within_run(template: TaskTemplate, maxima: Mapping[str, str]) -> None:
    """Raise InvalidError for a container of a child that asks for more than its run's maximum."""
    for resource, most in maxima.items():
        _require_amounts(template, resource, most, "the settings that its run was created with")


def asks_for_resources(template: TaskTemplate) -> bool:
    """Return whether a task names an amount of any resource that can have a maximum."""
    return any(
        True
        for resource, number in _RESOURCES.items()
        for _ in _list_amounts(template, resource, number)
    )


def _require_amounts(template: TaskTemplate, resource: str, most: str, whose: str) -> None:
    allowed = read_quantity(most)
    for asked in _list_amounts(template, resource, _RESOURCES[resource]):
        amount = read_quantity(asked)
        if amount is not None and allowed is not None and amount > allowed:
            raise InvalidError(
                f"task {template.id.name} asks for {asked} of {resource}, and"
                f" task_resource.max.{resource} of {whose} allows {most}; ask for less in"
                " Resources, or have the setting raised"
            )


def _entries(values: Mapping[str, object], key: str) -> list[tuple[str, str]]:
    found = values.get(key)
    return sorted(found.items()) if isinstance(found, Mapping) else []


def _stamp_defaults(spec: RunSpec, values: Mapping[str, object]) -> None:
    defaults = spec.default_settings
    resources = defaults.task_resource_defaults
    if name := values.get("pod_template_name"):
        defaults.pod_template_name = str(name)
    for resource, number in _RESOURCES.items():
        for end, entries in (("min", resources.requests), ("max", resources.max)):
            amount = values.get(f"task_resource.{end}.{resource}")
            if amount is not None:
                entries.append(Resources.ResourceEntry(name=number, value=str(amount)))
    if accelerator := values.get("task_resource.default_accelerator"):
        resources.default_accelerator.CopyFrom(parse_accelerator(str(accelerator)))


def _list_amounts(
    template: TaskTemplate, resource: str, number: Resources.ResourceName.ValueType
) -> Iterator[str]:
    """Yield what the task's container, or the containers of its pod, ask for."""
    asked = template.container.resources
    for entries in (asked.requests, asked.limits):
        yield from (each.value for each in entries if _SAME_AS.get(each.name, each.name) == number)
    if template.WhichOneof("target") != "k8s_pod":
        return
    pod = json_format.MessageToDict(template.k8s_pod.pod_spec)
    containers = pod.get("containers")
    for container in containers if isinstance(containers, list) else ():
        parts = container.get("resources") if isinstance(container, dict) else None
        for part in ("requests", "limits"):
            amounts = parts.get(part) if isinstance(parts, dict) else None
            for name, amount in (amounts if isinstance(amounts, dict) else {}).items():
                if _OF_PODS.get(name, name) == resource:
                    yield str(amount)
