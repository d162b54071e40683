"""
Reject values that Kubernetes would refuse when the pod is built, naming the field.

PURE. The API server checks pods too, with worse messages; an operator's resource it accepts
unchecked, and then no pod is ever created from it. Nothing is repaired here: what may be
rewritten (labels) is in ``metadata``.
"""

import re
from collections.abc import Iterator
from typing import Any

from dataplane.agent.kube.names import (
    is_dns_label,
    is_label_key,
    is_label_value,
    is_subdomain,
)
from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.pod_spec_parsing import object_in, objects_in
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.kit.quantities import read_quantity

_VARIABLE = re.compile(r"[ -<>-~]+")  # printable ASCII without "="
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_PORT = 65535
_MAX_PORT_NAME = 15
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})
_OPERATORS = frozenset({"", "Equal", "Exists", "Lt", "Gt"})
_EFFECTS = frozenset({"", "NoSchedule", "PreferNoSchedule", "NoExecute"})
_SHOWN = 80

_Flaw = tuple[str, Any, str]  # the field, its value, the remedy


def require_valid(spec: Object) -> None:
    """Raise BadSpecError for the first field with a value that no pod can have."""
    for field, value, remedy in _flaws(spec):
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        raise BadSpecError(f"pod_spec.{field} is {shown}, which Kubernetes refuses; {remedy}")


def _flaws(spec: Object) -> Iterator[_Flaw]:
    names: set[str] = set()
    for listing in ("initContainers", "containers"):
        for container in objects_in(spec, listing):
            name = str(container.get("name", ""))
            field = f"{listing}[{name[:_SHOWN]}]"
            if not is_dns_label(name):
                yield f"{listing}.name", name, "use small letters, digits and '-', at most 63"
            if name in names:
                yield f"{listing}.name", name, "it is there twice: give each another name"
            names.add(name)
            yield from _flaws_of_container(container, field)
    for volume in objects_in(spec, "volumes"):
        name = str(volume.get("name", ""))
        if not is_dns_label(name):
            yield "volumes.name", name, "use small letters, digits and '-', at most 63"
        size = object_in(volume, "emptyDir").get("sizeLimit")
        if size is not None and read_quantity(str(size)) is None:
            yield f"volumes[{name}].emptyDir.sizeLimit", size, "write an amount as 512Mi or 2G"
    yield from _flaws_of_placement(spec)
    account = str(spec.get("serviceAccountName") or "")
    if account and not is_subdomain(account):
        yield "serviceAccountName", account, "name a service account of the namespace"


def _flaws_of_container(container: Object, field: str) -> Iterator[_Flaw]:
    image = str(container.get("image") or "")
    if image != image.strip():
        yield f"{field}.image", image, "leave out the blanks around it"
    for entry in objects_in(container, "env"):
        if not _VARIABLE.fullmatch(str(entry.get("name", ""))):
            remedy = "a variable's name is of printable ASCII without '='"
            yield f"{field}.env.name", entry.get("name"), remedy
    for port in objects_in(container, "ports"):
        yield from _flaws_of_port(port, f"{field}.ports")
    for part in ("requests", "limits"):
        for name, amount in object_in(object_in(container, "resources"), part).items():
            if not is_label_key(name):
                yield f"{field}.resources.{part}", name, "name a resource such as example.com/fpga"
            if read_quantity(str(amount)) is None:
                remedy = "write an amount as 2, 500m or 512Mi"
                yield f"{field}.resources.{part}.{name}", amount, remedy
    for mount in objects_in(container, "volumeMounts"):
        path = str(mount.get("mountPath") or "")
        if not path or ":" in path:
            yield f"{field}.volumeMounts.mountPath", path, "write a path without ':'"


def _flaws_of_port(port: Object, field: str) -> Iterator[_Flaw]:
    number, name = port.get("containerPort"), str(port.get("name") or "")
    if not isinstance(number, int) or not 0 < number <= _MAX_PORT:
        yield f"{field}.containerPort", number, f"write a number from 1 to {_MAX_PORT}"
    if str(port.get("protocol") or "TCP") not in _PROTOCOLS:
        yield f"{field}.protocol", port["protocol"], "write TCP, UDP or SCTP"
    if name and (len(name) > _MAX_PORT_NAME or not _PORT_NAME.fullmatch(name)):
        remedy = f"use at most {_MAX_PORT_NAME} small letters, digits and single dashes"
        yield f"{field}.name", name, remedy


def _flaws_of_placement(spec: Object) -> Iterator[_Flaw]:
    for key, value in object_in(spec, "nodeSelector").items():
        if not is_label_key(key) or not is_label_value(str(value)):
            yield "nodeSelector", f"{key}={value}", "give a label that a node may have"
    for each in objects_in(spec, "tolerations"):
        key, value = str(each.get("key") or ""), str(each.get("value") or "")
        if (key and not is_label_key(key)) or not is_label_value(value):
            yield "tolerations", f"{key}={value}", "give a taint that a node may have"
        if str(each.get("operator") or "") not in _OPERATORS:
            yield "tolerations.operator", each["operator"], "write Equal or Exists"
        if str(each.get("effect") or "") not in _EFFECTS:
            remedy = "write NoSchedule, PreferNoSchedule or NoExecute"
            yield "tolerations.effect", each["effect"], remedy
