"""One role of a distributed job: how its pods differ from the task's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyteidl2.core import tasks_pb2

from dataplane.agent.kube.objects import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """
    Overrides of one role of a distributed job; unset fields are the task's.

    ``pod`` replaces the task's container or pod template as a whole, as in Ray's and Spark's
    custom specs; the other fields are merged over either.
    """

    role: str  # "worker", "launcher", "head", …: a label of its pods
    pod: tasks_pb2.K8sPod | None = None
    container_name: str = ""  # operators require their own: "pytorch", "ray-head", …
    image: str = ""
    command: Sequence[str] | None = None
    args: Sequence[str] | None = None
    resources: tasks_pb2.Resources | None = None
    env: Mapping[str, str] = field(default_factory=dict)  # over the task's, below the run's
    references: Sequence[Object] = ()  # further variables, in Kubernetes' form: valueFrom …
    restart_policy: str = "Never"
    calls_kubernetes: bool = False  # mounts the service account's token, as Spark's driver needs
