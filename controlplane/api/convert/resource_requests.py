"""Parses what an attempt of a task requests, so that its usage can be metered."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from flyteidl2.core.tasks_pb2 import Resources, TaskTemplate
from google.protobuf import json_format

from controlplane.core.usage import ResourceRequests
from shared.kit.quantities import read_quantity

_KINDS = {Resources.CPU: "cpu", Resources.MEMORY: "memory", Resources.GPU: "gpu"}

# Larger requests start nowhere; the bounds keep the sums of a day within 64 bits.
_MOST_CPU_MILLIS = 10_000_000
_MOST_MEMORY_BYTES = 2**50
_MOST_ACCELERATORS = 10_000


def parse_requests(template: TaskTemplate) -> ResourceRequests:
    """
    Return what all containers of one attempt request; a limit is a request, as in Kubernetes.

    What is not a quantity counts as nothing: whether it may run at all is not decided here.
    """
    asked = dict.fromkeys(("cpu", "memory", "gpu"), Decimal(0))
    for requests, limits in _containers(template):
        for kind, text in {**limits, **requests}.items():
            asked[kind] += read_quantity(text) or 0
    return ResourceRequests(
        cpu_millis=_within(asked["cpu"] * 1000, _MOST_CPU_MILLIS),
        memory_bytes=_within(asked["memory"], _MOST_MEMORY_BYTES),
        accelerators=_within(asked["gpu"], _MOST_ACCELERATORS),
    )


def _containers(template: TaskTemplate) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Yield the requests and the limits of each container."""
    if template.WhichOneof("target") != "k8s_pod":
        resources = template.container.resources
        yield _entries(resources.requests), _entries(resources.limits)
        return
    containers = json_format.MessageToDict(template.k8s_pod.pod_spec).get("containers")
    for container in containers if isinstance(containers, list) else ():
        parts = container.get("resources") if isinstance(container, dict) else None
        if isinstance(parts, dict):
            yield _amounts(parts.get("requests")), _amounts(parts.get("limits"))


def _entries(entries: Any) -> dict[str, str]:
    return {_KINDS[each.name]: each.value for each in entries if each.name in _KINDS}


def _amounts(amounts: object) -> dict[str, str]:
    """Return the amounts of a pod's container; "nvidia.com/gpu" and its like are accelerators."""
    found: dict[str, str] = {}
    for name, amount in amounts.items() if isinstance(amounts, Mapping) else ():
        kind = "gpu" if str(name).endswith(("/gpu", "google.com/tpu")) else str(name)
        if kind in ("cpu", "memory", "gpu"):
            found[kind] = f"{amount:g}" if isinstance(amount, float) else str(amount)
    return found


def _within(amount: Decimal, most: int) -> int:
    return int(max(Decimal(0), min(amount, Decimal(most))))
