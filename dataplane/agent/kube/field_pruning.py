"""
Prunes listed and watched objects to the fields that the agent reads, to save memory.

That is a third of a pod's 25 KB. To read more fields of a kind, keep them here.
"""

from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

from dataplane.agent.kube.objects import EVENT, POD, Kind, Object


def prune_fields(kind: Kind, item: Object) -> Object:
    """Return a pruned copy of ``item``; items of lists get their apiVersion and kind."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    pruned = _PRUNE_BY_KIND.get(kind, dict)(item)
    typed = {"apiVersion": kind.api_version, "kind": kind.name}  # lists omit them in items
    return {**_intern_keys({**pruned, "metadata": metadata}), **typed}


def _prune_pod(pod: Object) -> dict[str, Any]:
    full = pod.get("spec") or {}
    spec = {key: value for key, value in full.items() if key not in _BULK_OF_PODS}
    for group in ("containers", "initContainers"):
        if spec.get(group):
            spec[group] = [
                {key: value for key, value in container.items() if key not in _BULK_OF_CONTAINERS}
                for container in spec[group]
            ]
    return {**pod, "spec": spec}


def _prune_event(event: Object) -> dict[str, Any]:
    return {key: event[key] for key in _READ_OF_EVENTS if event.get(key) is not None}


def _intern_keys(value: Any) -> Any:
    """Replace keys with interned strings, shared by all objects: parsed JSON has new ones."""
    if isinstance(value, dict):
        return {intern(key): _intern_keys(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_intern_keys(each) for each in value]
    return value


_BULK_OF_PODS = frozenset({"affinity", "securityContext", "tolerations", "volumes"})
_BULK_OF_CONTAINERS = frozenset(
    {
        *("args", "command", "env", "envFrom", "lifecycle", "readinessProbe", "securityContext"),
        *("startupProbe", "volumeDevices", "volumeMounts"),
    }
)
_READ_OF_EVENTS = (
    *("apiVersion", "kind", "type", "reason", "message", "count", "involvedObject", "series"),
    *("firstTimestamp", "lastTimestamp", "eventTime", "reportingComponent", "source"),
)
_PRUNE_BY_KIND: Mapping[Kind, Callable[[Object], dict[str, Any]]] = {
    EVENT: _prune_event,
    POD: _prune_pod,
}
