"""
Parses and validates the pod specs of tasks: JSON in a protobuf Struct, written by users.

Only the fields that the agent merges or reads are validated here; the API server validates
all others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format, struct_pb2

_OBJECTS = frozenset(
    {"capabilities", "limits", "nodeSelector", "requests", "resources", "securityContext"}
)
_AMOUNTS = frozenset({"limits", "requests"})
_WORDS = frozenset({"add", "args", "command", "drop"})
_COUNTS = frozenset({"containerPort", "terminationGracePeriodSeconds"})
_LISTS: Mapping[str, str] = {  # with the key that identifies an item, as in strategic merge
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


def read_pod_spec(spec: struct_pb2.Struct) -> dict[str, Any]:
    """Return the Struct as JSON: integers restored (a Struct has none), nulls removed."""
    read: dict[str, Any] = _restore(json_format.MessageToDict(spec))
    return read


def find_flaw(node: Mapping[str, Any], path: str) -> str:
    """Return the first malformed field, as "path is not a list"; "" if all are well-formed."""
    for name, value in node.items():
        place = f"{path}.{name}"
        if name in _OBJECTS and not isinstance(value, dict):
            return f"{place} is not an object"
        if name in _AMOUNTS and not all(_is_scalar(each) for each in value.values()):
            return f"{place} has a value that is not a quantity"
        if name in _WORDS and not (isinstance(value, list) and all(map(_is_scalar, value))):
            return f"{place} is not a list of strings"
        if name in _COUNTS and not (isinstance(value, int) and value >= 0):
            return f"{place} is not a non-negative integer"
        if name in _OBJECTS and (flaw := find_flaw(value, place)):
            return flaw
        if name in _LISTS and (flaw := _find_flaw_of_list(value, _LISTS[name], place)):
            return flaw
    return ""


def object_in(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object of that name; {} for a value of another type, which the API server rejects."""
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def objects_in(parent: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects in the list of that name, skipping items of other types."""
    value = parent.get(name)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return [each for each in value if isinstance(each, Mapping)]


def _find_flaw_of_list(value: object, key: str, path: str) -> str:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        return f"{path} is not a list of objects"
    for number, each in enumerate(value):
        if key and not _is_scalar(each.get(key)):
            return f"{path}[{number}] has no {key}"
        if flaw := find_flaw(each, f"{path}[{number}]"):
            return flaw
    return ""


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _restore(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _restore(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_restore(each) for each in value if each is not None]
    return int(value) if isinstance(value, float) and value.is_integer() else value
