"""
Merge one pod spec over another, by the rules of Kubernetes' strategic merge.

Objects are merged field by field; lists with a merge key, element by element; a few lists are
concatenated; any other value above replaces the one below.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataplane.agent.kube.objects import Object

_KEYS: Mapping[str, Mapping[str, Any]] = {  # merge keys of list elements, and their defaults
    "containers": {"name": None},
    "env": {"name": None},
    "ephemeralContainers": {"name": None},
    "hostAliases": {"ip": None},
    "imagePullSecrets": {"name": None},
    "initContainers": {"name": None},
    "ports": {"containerPort": None, "protocol": "TCP"},
    "resourceClaims": {"name": None},
    "schedulingGates": {"name": None},
    "volumeDevices": {"devicePath": None},
    "volumeMounts": {"mountPath": None},
    "volumes": {"name": None},
}
_MERGED_INSIDE = frozenset({"containers", "ephemeralContainers", "initContainers"})
_GROWING = frozenset({"envFrom", "tolerations", "topologySpreadConstraints"})
_WHOLE = frozenset({"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"})
"""Objects of which only one field may be set, so that merging two would make an invalid one."""


def merge(below: Object, above: Object) -> dict[str, Any]:
    """Return ``below`` with ``above`` merged over it; neither is changed."""
    merged = dict(below)
    for name, value in above.items():
        if value is None:
            continue
        merged[name] = _merge_field(name, merged.get(name), value)
    return merged


def merge_template(template: Object, spec: Object, primary: str) -> dict[str, Any]:
    """
    Return a pod spec merged over a PodTemplate's, as Flyte reads these.

    The template's container ``default`` is below each of the pod's containers, ``primary``
    below the primary one, ``default-init`` below each init container; a container of the same
    name is below its own; others are added.
    """
    merged = merge(
        {name: value for name, value in template.items() if name not in _MERGED_INSIDE},
        {name: value for name, value in spec.items() if name not in _MERGED_INSIDE},
    )
    merged["containers"] = _merge_containers(
        template.get("containers") or (),
        spec.get("containers") or (),
        {"default": None, "primary": primary},
    )
    inits = _merge_containers(
        template.get("initContainers") or (),
        spec.get("initContainers") or (),
        {"default-init": None},
    )
    if inits:
        merged["initContainers"] = inits
    return merged


def _merge_containers(
    below: Iterable[Object], above: Iterable[Object], patterns: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    """Merge containers over others; a pattern is below all of them, or below the one it names."""
    named = {container["name"]: container for container in below}
    found = {name: named.pop(name) for name in patterns if name in named}
    merged = []
    for container in above:
        name = container["name"]
        base: Object = {}
        for pattern, only in patterns.items():
            if pattern in found and only in {None, name}:
                base = merge(base, found[pattern])
        base = merge(base, named.pop(name, {}))
        merged.append(merge(base, container))
    return [*merged, *(dict(container) for container in named.values())]


def _merge_field(name: str, below: object, above: Any) -> Any:
    if isinstance(below, Mapping) and isinstance(above, Mapping) and name not in _WHOLE:
        if name == "resources":
            return _merge_resources(below, above)
        return merge(below, above)
    if isinstance(below, Sequence) and isinstance(above, Sequence) and not isinstance(above, str):
        if name in _KEYS:
            return _merge_list(below, above, _KEYS[name], inside=name in _MERGED_INSIDE)
        if name in _GROWING:
            return [*below, *(each for each in above if each not in below)]
    return above


def _merge_list(
    below: Sequence[Any], above: Sequence[Any], keys: Mapping[str, Any], *, inside: bool
) -> list[Any]:
    def identify(thing: Object) -> tuple[Any, ...]:
        return tuple(thing.get(key) or default for key, default in keys.items())

    merged = {identify(each): each for each in below}
    for each in above:
        known = merged.get(identify(each))
        merged[identify(each)] = merge(known, each) if inside and known else each
    return list(merged.values())


def _merge_resources(below: Object, above: Object) -> dict[str, Any]:
    """Merge resources; a request or limit above replaces both of that resource below."""
    text = {name for part in ("requests", "limits") for name in above.get(part) or {}}
    kept = {
        part: {name: value for name, value in (below.get(part) or {}).items() if name not in text}
        for part in ("requests", "limits")
    }
    merged = merge({**below, **kept}, above)
    return {name: value for name, value in merged.items() if value != {}}
