"""The pod of a task, as the SDK needs it."""

from dataclasses import dataclass

from dataplane.agent.kube.objects import Name, Object
from dataplane.agent.runtimes.protocol import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplates:
    """Builds pods for one cluster, as its settings have it."""

    def build(self, job: Job, name: Name) -> Object:
        """Return ``{"metadata": …, "spec": …}`` of the attempt's pod, or of one of its workers."""
        raise NotImplementedError
