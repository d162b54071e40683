"""Layers of a pod spec for devices, shared memory and node selection."""

from collections.abc import Mapping
from typing import Any

from flyteidl2.core import tasks_pb2
from flyteidl2.task import run_pb2

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods.resources import GPU
from dataplane.agent.runtimes.kubernetes.pods.settings import Accelerator, Placement
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.kit.quantities import read_quantity

_SHARED_MEMORY = "flyte-shm"


def find_accelerator(
    desired: tasks_pb2.GPUAccelerator, known: Mapping[str, Accelerator]
) -> Accelerator:
    """Return how this cluster requests the device class; BadSpecError if it has none."""
    kinds = tasks_pb2.GPUAccelerator.DeviceClass
    name = kinds.Name(desired.device_class) if desired.device_class in kinds.values() else ""
    if name not in known:
        raise BadSpecError(
            f"this cluster has no devices of class {name or desired.device_class}, only"
            f" {', '.join(sorted(known)) or 'none'}; request another in Resources"
        )
    return known[name]


def choose_accelerator(
    extended: tasks_pb2.ExtendedResources, defaults: run_pb2.TaskResourceDefaults
) -> tasks_pb2.GPUAccelerator | None:
    """Return the device that the task names, or else the default of its run's settings."""
    if extended.HasField("gpu_accelerator"):
        return extended.gpu_accelerator
    return defaults.default_accelerator if defaults.HasField("default_accelerator") else None


def name_of_gpu(desired: tasks_pb2.GPUAccelerator | None, known: Mapping[str, Accelerator]) -> str:
    """Return the resource that a number of GPUs stands for, whichever class the task means."""
    if desired is not None:
        return find_accelerator(desired, known).resource
    usual = known.get("NVIDIA_GPU") or next(iter(known.values()), None)
    return GPU if usual is None else usual.resource


def requests_device(container: Object, accelerator: Accelerator) -> bool:
    """Return whether a container, with complete resources, requests devices of this class."""
    amount = read_quantity(container["resources"]["requests"].get(accelerator.resource, "0"))
    return amount is not None and amount > 0


def placement(desired: tasks_pb2.GPUAccelerator, accelerator: Accelerator) -> dict[str, Any]:
    """Return the layer that selects nodes with that device, and with its partition."""
    layer: dict[str, Any] = {"nodeSelector": {}, "tolerations": []}

    def require(label: str, value: str) -> None:
        layer["nodeSelector"][label] = value
        layer["tolerations"].append(_toleration(label, value))

    if desired.device and accelerator.device_label:
        require(accelerator.device_label, desired.device)
    if desired.partition_size:
        if not accelerator.partition_label:
            raise BadSpecError(
                f"this cluster's {accelerator.resource} have no partitions, and the task requests"
                f" {desired.partition_size}; leave the partition out"
            )
        require(accelerator.partition_label, desired.partition_size)
    layer["tolerations"].append(
        {"key": accelerator.resource, "operator": "Exists", "effect": "NoSchedule"}
    )
    return layer


def without_partitions(spec: Object, accelerator: Accelerator) -> dict[str, Any]:
    """Return the affinity that excludes nodes with partitioned devices from every term."""
    affinity = dict(spec.get("affinity") or {})
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    nodes = dict(affinity.get("nodeAffinity") or {})
    terms = (nodes.get(required) or {}).get("nodeSelectorTerms") or [{}]
    absent = {"key": accelerator.partition_label, "operator": "DoesNotExist"}
    nodes[required] = {
        "nodeSelectorTerms": [
            {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), absent]}
            for term in terms
        ]
    }
    return {**affinity, "nodeAffinity": nodes}


def place(placement: Placement) -> dict[str, Any]:
    return {
        "nodeSelector": dict(placement.node_selector),
        "tolerations": [dict(each) for each in placement.tolerations],
    }


def share_memory(desired: tasks_pb2.SharedMemory, primary: str) -> dict[str, Any]:
    """Return the layer with a file system in memory, which counts as the container's memory."""
    volume = desired.mount_name or _SHARED_MEMORY
    memory: dict[str, Any] = {"medium": "Memory"}
    if desired.size_limit:
        if read_quantity(desired.size_limit) is None:
            raise BadSpecError(
                f"shared memory of {desired.size_limit!r} is not a valid size; write shm='2Gi' or 'auto'"
            )
        memory["sizeLimit"] = desired.size_limit
    mount = {"name": volume, "mountPath": desired.mount_path or "/dev/shm"}  # noqa: S108 - it is
    return {
        "volumes": [{"name": volume, "emptyDir": memory}],
        "containers": [{"name": primary, "volumeMounts": [mount]}],
    }


def _toleration(label: str, value: str) -> dict[str, str]:
    return {"key": label, "operator": "Equal", "value": value, "effect": "NoSchedule"}
