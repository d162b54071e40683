"""Compute the resource requests and limits of a container."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flyteidl2.core import tasks_pb2

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.kit.quantities import read_quantity

GPU = "gpu"
"""Resource name that the SDK writes for a device of any class."""

_NAMES: Mapping[int, str] = {
    tasks_pb2.Resources.CPU: "cpu",
    tasks_pb2.Resources.MEMORY: "memory",
    tasks_pb2.Resources.GPU: GPU,
    tasks_pb2.Resources.STORAGE: "ephemeral-storage",
    tasks_pb2.Resources.EPHEMERAL_STORAGE: "ephemeral-storage",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Defaults and maxima that apply to one task; ``gpu`` may stand for a resource in each."""

    gpu: str  # the resource that ``gpu`` stands for
    defaults: Mapping[str, str] = field(default_factory=dict)
    maxima: Mapping[str, str] = field(default_factory=dict)  # of the cluster
    settings_maxima: Mapping[str, str] = field(default_factory=dict)  # of the run's settings


def read_resources(message: tasks_pb2.Resources) -> dict[str, Any]:
    """Convert flyteidl2's resources to Kubernetes' requests and limits."""
    return {
        part: amounts
        for part, entries in (("requests", message.requests), ("limits", message.limits))
        if (amounts := read_amounts(entries))
    }


def complete(resources: Object, rules: Rules, container: str) -> dict[str, Any]:
    """
    Return the resources with every request and limit filled in.

    A missing request is set to the limit and a missing limit to the request, as Flyte does, so
    that a task runs on a full node as on an empty one. Raises BadSpecError for an invalid
    quantity, for a request above its limit, for more than a maximum of the cluster or the run.
    """
    requests = _rename(resources.get("requests") or {}, rules.gpu)
    limits = _rename(resources.get("limits") or {}, rules.gpu)
    defaults = _rename(rules.defaults, rules.gpu)
    of_cluster, of_run = (
        _rename(each, rules.gpu) for each in (rules.maxima, rules.settings_maxima)
    )
    most = least(of_run, of_cluster)
    for name in sorted({*requests, *limits, *defaults}):
        if name not in requests and name not in limits:
            requests[name] = _lower(defaults[name], most.get(name))
        requests.setdefault(name, limits.get(name, ""))
        limits.setdefault(name, requests[name])
        _check(name, requests[name], limits[name], container)
        _check_settings_maximum(name, limits[name], of_run.get(name), container)
        _check_cluster_maximum(name, limits[name], of_cluster.get(name), container)
    completed = {name: value for name, value in resources.items() if value is not None}
    return {
        **completed,
        "requests": dict(sorted(requests.items())),
        "limits": dict(sorted(limits.items())),
    }


def read_amounts(entries: Iterable[tasks_pb2.Resources.ResourceEntry]) -> dict[str, str]:
    amounts = {}
    for entry in entries:
        if entry.name not in _NAMES:
            raise BadSpecError(
                "resources name something that is neither CPU, MEMORY, GPU nor EPHEMERAL_STORAGE;"
                " ask for it in a pod_template"
            )
        amounts[_NAMES[entry.name]] = entry.value
    return amounts


def least(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return the lower one of each amount."""
    return {**second, **{name: _lower(text, second.get(name)) for name, text in first.items()}}


def rename_gpu(resources: Object, gpu: str) -> dict[str, Any]:
    """Return the resources with ``gpu`` replaced by the cluster's resource name."""
    return {
        part: _rename(amounts, gpu) if part in {"requests", "limits"} and amounts else amounts
        for part, amounts in resources.items()
    }


def _rename(amounts: Mapping[str, object], gpu: str) -> dict[str, str]:
    # A numeric amount in a pod_spec is a number there and text here.
    return {gpu if name == GPU else name: str(amount) for name, amount in amounts.items()}


def _check(name: str, request: str, limit: str, container: str) -> None:
    asked, allowed = _read(name, request), _read(name, limit)
    if "/" in name and asked != allowed:
        raise BadSpecError(
            f"container {container} requests {request} {name} and is limited to {limit};"
            " devices are not shared: make both the same number"
        )
    if asked > allowed:
        raise BadSpecError(
            f"container {container} requests {request} of {name} and is limited to {limit};"
            " raise the limit or lower the request"
        )


def _check_settings_maximum(name: str, limit: str, most: str | None, container: str) -> None:
    if most is not None and _read(name, limit) > _read(name, most):
        raise BadSpecError(
            f"container {container} requests {limit} of {name} and task_resource.max in the settings"
            f" of its run's project allows {most}; lower it in Resources, or have the setting raised"
            " for later runs (flyte edit settings)"
        )


def _check_cluster_maximum(name: str, limit: str, most: str | None, container: str) -> None:
    if most is not None and _read(name, limit) > _read(name, most):
        raise BadSpecError(
            f"container {container} requests {limit} of {name} and this cluster allows a container"
            f" {most} at most; lower it in Resources, or ask the cluster's operator for a higher maximum"
        )


def _lower(text: str, most: str | None) -> str:
    return text if most is None or _read("", text) <= _read("", most) else most


def _read(name: str, text: str) -> Decimal:
    amount = read_quantity(text)
    if amount is None:
        raise BadSpecError(
            f"{text!r} is not a valid amount of {name or 'a resource'}; write 2, 500m, 512Mi or 2G"
        )
    return amount
