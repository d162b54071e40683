"""
What there is of objects that come in numbers, in lists and watches: what somebody reads.

Of a pod's 25 KB in memory that is a third. Whoever wants to read more of a kind adds it here.
"""

from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

from dataplane.agent.kube.objects import EVENT, POD, Kind, Object


def pick(kind: Kind, item: Object) -> Object:
    """Return what is kept of ``item``, as an object of its own; it may be a list's."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    chosen = _PICKS.get(kind, dict)(item)
    typed = {"apiVersion": kind.api_version, "kind": kind.name}  # which lists do not repeat
    return {**_prune({**chosen, "metadata": metadata}), **typed}


def _pick_pod(pod: Object) -> dict[str, Any]:
    text = pod.get("spec") or {}
    spec = {key: value for key, value in text.items() if key not in _BULK_OF_PODS}
    for group in ("containers", "initContainers"):
        if spec.get(group):
            spec[group] = [
                {key: value for key, value in container.items() if key not in _BULK_OF_CONTAINERS}
                for container in spec[group]
            ]
    return {**pod, "spec": spec}


def _pick_event(event: Object) -> dict[str, Any]:
    return {key: event[key] for key in _READ_OF_EVENTS if event.get(key) is not None}


def _prune(value: Any) -> Any:
    """Have the keys of all objects be the same few strings: parsed JSON brings new ones."""
    if isinstance(value, dict):
        return {intern(key): _prune(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_prune(each) for each in value]
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
_PICKS: Mapping[Kind, Callable[[Object], dict[str, Any]]] = {EVENT: _pick_event, POD: _pick_pod}
