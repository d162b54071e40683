"""
Parse the operator's options for all pods of a cluster: one JSON object in the chart.

    {"defaults": {"cpu": "1", "memory": "1Gi"}, "maxima": {"memory": "64Gi"},
     "template": "usual", "labels": {…}, "annotations": {…},
     "nodeSelector": {…}, "tolerations": […],
     "interruptible": {"nodeSelector": {…}, "tolerations": […]},
     "security": {"hostPath": true, "capabilities": ["IPC_LOCK"], "serviceAccounts": ["etl"],
                  "projects": {"ml": {"privileged": true}, "etl/production": {…}}},
     "accelerators": {"NVIDIA_GPU": {"resource": "nvidia.com/gpu",
                                     "deviceLabel": "…", "partitionLabel": "…"}}}

Every field is optional; a device class that is not named is requested by its default resource.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods.security import Security
from dataplane.agent.runtimes.kubernetes.pods.settings import ACCELERATORS, Accelerator, Placement
from dataplane.agent.runtimes.kubernetes.pods.templates import PodTemplates
from shared.kit.quantities import read_quantity


class ChoicesError(ValueError):
    """The operator's options are invalid; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    defaults: Mapping[str, str] = field(default_factory=dict)  # added to built-in ones
    maxima: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    placement: Placement = field(default_factory=Placement)
    interruptible: Placement = field(default_factory=Placement)
    accelerators: Mapping[str, Accelerator] = field(default_factory=dict)  # added to built-in ones
    security: Security = field(default_factory=Security)

    def apply(self, templates: PodTemplates) -> PodTemplates:
        return replace(
            templates,
            defaults={**templates.defaults, **self.defaults},
            maxima=self.maxima,
            default_template=self.template,
            labels=self.labels,
            annotations=self.annotations,
            placement=self.placement,
            interruptible=self.interruptible,
            accelerators={**templates.accelerators, **self.accelerators},
            security=self.security,
        )


def parse_choices(text: str) -> Choices:
    """Parse ``text`` ("": no options); ChoicesError names the invalid field."""
    try:
        parsed = json.loads(text or "{}")
    except ValueError as error:
        raise ChoicesError(f"it is not valid JSON: {error}") from error
    whole = _Part(parsed, "it")
    choices = Choices(
        defaults=whole.amounts("defaults"),
        maxima=whole.amounts("maxima"),
        template=whole.text("template"),
        labels=whole.strings("labels"),
        annotations=whole.strings("annotations"),
        placement=_placement(whole),
        interruptible=_placement(whole.part("interruptible")),
        accelerators=_accelerators(whole.part("accelerators")),
        security=_security(whole.part("security")),
    )
    whole.require_no_more()
    return choices


def _placement(part: "_Part") -> Placement:
    return Placement(
        node_selector=part.strings("nodeSelector"), tolerations=part.objects("tolerations")
    )


def _security(part: "_Part", *, is_of_project: bool = False) -> Security:
    return Security(
        privileged=part.flag("privileged"),
        host_path=part.flag("hostPath"),
        host_namespaces=part.flag("hostNamespaces"),
        host_ports=part.flag("hostPorts"),
        probe_hosts=part.flag("probeHosts"),
        unconfined=part.flag("unconfined"),
        capabilities=part.words("capabilities"),
        service_accounts=part.words("serviceAccounts"),
        projects={} if is_of_project else _projects(part.part("projects")),
    )


def _projects(part: "_Part") -> dict[str, Security]:
    found = {}
    for scope in part.names():
        project, slash, domain = scope.partition("/")
        if not project or (slash and not domain) or "/" in domain:
            raise ChoicesError(
                f"{part.name} has the key {scope!r}; write project or project/domain"
            )
        found[scope] = _security(part.part(scope), is_of_project=True)
    return found


def _accelerators(part: "_Part") -> dict[str, Accelerator]:
    found = {}
    for name in part.names():
        if name not in ACCELERATORS:
            known = ", ".join(sorted(ACCELERATORS))
            raise ChoicesError(f"{part.name}.{name} is not a device class; write one of {known}")
        device = part.part(name)
        found[name] = Accelerator(
            resource=device.text("resource") or ACCELERATORS[name].resource,
            device_label=device.text("deviceLabel"),
            partition_label=device.text("partitionLabel"),
        )
    return found


class _Part:
    """One JSON object; every field of it has to be known."""

    def __init__(self, parsed: object, name: str) -> None:
        if not isinstance(parsed, dict):
            raise ChoicesError(f"{name} is {parsed!r}, not an object")
        self._raw = parsed
        self._parts: list[_Part] = []
        self._read: set[str] = set()
        self.name = name

    def names(self) -> Sequence[str]:
        return list(self._raw)

    def part(self, name: str) -> "_Part":
        part = _Part(self._take(name, {}), self._field(name))
        self._parts.append(part)
        return part

    def text(self, name: str) -> str:
        value = self._take(name, "")
        if not isinstance(value, str):
            raise ChoicesError(f"{self._field(name)} is {value!r}, not a string")
        return value

    def strings(self, name: str) -> dict[str, str]:
        part = _Part(self._take(name, {}), self._field(name))
        return {each: part.text(each) for each in part.names()}

    def amounts(self, name: str) -> dict[str, str]:
        amounts = self.strings(name)
        for resource, amount in amounts.items():
            if read_quantity(amount) is None:
                field_name = f"{self._field(name)}.{resource}"
                raise ChoicesError(f"{field_name} is {amount!r}; write an amount as 2 or 512Mi")
        return amounts

    def flag(self, name: str) -> bool:
        value = self._take(name, False)
        if not isinstance(value, bool):
            raise ChoicesError(f"{self._field(name)} is {value!r}; write true or false")
        return value

    def words(self, name: str) -> Sequence[str]:
        value = self._take(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ChoicesError(f"{self._field(name)} is {value!r}, not a list of names")
        return tuple(value)

    def objects(self, name: str) -> Sequence[Object]:
        value = self._take(name, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise ChoicesError(f"{self._field(name)} is {value!r}, not a list of objects")
        return tuple(value)

    def require_no_more(self) -> None:
        """Raise ChoicesError for a field that was not read: probably a typing mistake."""
        for name in self._raw:
            if name not in self._read:
                raise ChoicesError(f"{self._field(name)} is not a known field; leave it out")
        for part in self._parts:
            part.require_no_more()

    def _take(self, name: str, usual: object) -> object:
        self._read.add(name)
        value = self._raw.get(name)
        return usual if value is None else value

    def _field(self, name: str) -> str:
        return name if self.name == "it" else f"{self.name}.{name}"
