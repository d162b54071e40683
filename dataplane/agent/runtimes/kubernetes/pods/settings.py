"""What a cluster may choose about the pods of its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from dataplane.agent.kube.objects import Object

LAST_WORDS = timedelta(seconds=35)
"""Of a pod's grace, for the copilot to write why the rest was not enough; it takes 20 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyAccess:
    """Where pods reach their agent, and by what they know it."""

    address: str  # host:port, by a name that its certificate has
    token_life: timedelta = timedelta(hours=1)  # the kubelet renews it; ten minutes at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """
    How the kubelet stops what may be begun elsewhere.

    The kubelet resolves no cluster names: ``host`` is an address, the door's ClusterIP. A
    container that has just begun is looked at each second, so that a pod whose image took long
    to come does not begin what has begun elsewhere.

    A program may well ignore SIGTERM, and a kubelet that ends a pod's only container waits as
    long as the *pod's* grace says, whatever the probe's. So the pods of what may be replaced
    have this grace, and a raw container's outputs have to be shipped within ``shipping``.
    """

    host: str
    port: int
    period: timedelta = timedelta(seconds=5)
    timeout: timedelta = timedelta(seconds=3)
    failures: int = 3  # of either kind in a row
    grace: timedelta = timedelta(seconds=10)
    shipping: timedelta = timedelta(seconds=30)

    @property
    def takes(self) -> timedelta:
        """From the door's last consent until nothing runs any more, at the latest."""
        grace = max(self.grace, self.shipping + LAST_WORDS)
        return self.failures * self.period + self.timeout + grace


@dataclass(frozen=True, slots=True, kw_only=True)
class Copilot:
    """What moves the inputs and outputs of raw containers."""

    image: str
    command: Sequence[str] = ("volary-copilot",)
    image_pull_policy: str = ""  # "": as Kubernetes has it for the image's tag
    requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "100m", "memory": "128Mi"})
    limits: Mapping[str, str] = field(default_factory=lambda: {"cpu": "1", "memory": "512Mi"})
    bring_within: timedelta = timedelta(hours=24)
    ship_within: timedelta = timedelta(hours=1)  # after the task has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which nodes: labels that they have, taints that are tolerated."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Object] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """How one class of devices is asked for; a label of "" is none."""

    resource: str
    device_label: str = ""  # of nodes; its value is the device's name
    partition_label: str = ""  # of nodes; its value is the partition's size


ACCELERATORS: Mapping[str, Accelerator] = MappingProxyType(
    {
        "NVIDIA_GPU": Accelerator(
            resource="nvidia.com/gpu",
            device_label="k8s.amazonaws.com/accelerator",
            partition_label="k8s.amazonaws.com/gpu-partition-size",
        ),
        "GOOGLE_TPU": Accelerator(
            resource="google.com/tpu",
            device_label="cloud.google.com/gke-tpu-accelerator",
            partition_label="cloud.google.com/gke-tpu-topology",
        ),
        "AMAZON_NEURON": Accelerator(resource="aws.amazon.com/neuron"),
        "AMD_GPU": Accelerator(resource="amd.com/gpu"),
        "HABANA_GAUDI": Accelerator(resource="habana.ai/gaudi"),
    }
)
"""By flyteidl2's GPUAccelerator.DeviceClass; the labels are those of Flyte's defaults."""
