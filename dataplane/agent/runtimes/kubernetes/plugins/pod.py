"""Run a task as one pod: the SDK's own, raw containers, and tasks that bring a pod template."""

from collections.abc import Collection
from dataclasses import dataclass, field

from dataplane.agent.kube.objects import POD, Kind, Name, Object
from dataplane.agent.runtimes.kubernetes import failures, pending_reasons, statuses
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.protocol import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)

    @property
    def task_types(self) -> Collection[str]:
        return ("python", "python-task", "raw-container", "actor", "sidecar", "pod", "container")

    @property
    def kind(self) -> Kind:
        return POD

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        return {"apiVersion": POD.api_version, "kind": POD.name, **pods.build(job, name)}

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        return observe_pod(resource, around, self.timeouts, interruptible=job.interruptible)


def observe_pod(
    pod: Object,
    around: ObservationContext,
    timeouts: PendingTimeouts,
    *,
    interruptible: bool = False,
) -> Observation:
    """Return the stage of one pod, from scheduling to its end."""
    ended = failures.observe(pod, around, interruptible=interruptible)
    if ended is not None:
        return ended
    if statuses.began_at(pod) is not None:
        return Observation(stage=Stage.RUNNING)
    return pending_reasons.observe(pod, around, timeouts)
