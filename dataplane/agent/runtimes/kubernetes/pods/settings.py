"""A cluster's options for the pods of its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from dataplane.agent.kube.objects import Object

LAST_WORDS = timedelta(seconds=35)
"""
Part of a pod's grace period reserved for the copilot to report why uploading timed out; it
takes 20 s.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyAccess:
    """Address at which pods reach their agent's API proxy, and how they authenticate."""

    address: str  # host:port, by a name that its certificate has
    token_life: timedelta = timedelta(hours=1)  # the kubelet renews it; ten minutes at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """
    How the kubelet stops attempts that may be restarted on another cluster.

    The kubelet resolves no cluster names: ``host`` is an address, the proxy's ClusterIP. A
    container that has just started is probed each second, so that a pod whose image took long
    to pull does not start what already runs elsewhere.

    A program may ignore SIGTERM, and a kubelet that ends a pod's only container waits for the
    *pod's* grace period, whatever the probe's. So the pods of replaceable attempts have this
    grace period, and a raw container's outputs have to be uploaded within ``shipping``.
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
        """Return the longest time from the proxy's last 200 until no process runs any more."""
        grace = max(self.grace, self.shipping + LAST_WORDS)
        return self.failures * self.period + self.timeout + grace


@dataclass(frozen=True, slots=True, kw_only=True)
class Copilot:
    """The containers that transfer the inputs and outputs of raw containers."""

    image: str
    command: Sequence[str] = ("volary-copilot",)
    image_pull_policy: str = ""  # "": Kubernetes' default for the image's tag
    requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "100m", "memory": "128Mi"})
    limits: Mapping[str, str] = field(default_factory=lambda: {"cpu": "1", "memory": "512Mi"})
    bring_within: timedelta = timedelta(hours=24)
    ship_within: timedelta = timedelta(hours=1)  # after the task has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Node selection: labels that nodes have, taints that are tolerated."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Object] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """How one class of devices is requested; a label of "" is none."""

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
"""By flyteidl2's GPUAccelerator.DeviceClass; the labels are Flyte's defaults."""
