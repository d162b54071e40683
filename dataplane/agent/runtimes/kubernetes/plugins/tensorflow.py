"""Run distributed TensorFlow: a TFJob of workers, parameter servers, a chief and evaluators."""

from collections.abc import Collection
from dataclasses import dataclass, field

from flyteidl2.plugins import tensorflow_pb2
from flyteidl2.plugins.kubeflow import tensorflow_pb2 as kubeflow_pb2

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext
from dataplane.agent.runtimes.kubernetes.plugins import kubeflow
from dataplane.agent.runtimes.kubernetes.plugins.specs import need_at_least, read_custom
from dataplane.agent.runtimes.kubernetes.plugins.workers import Workers
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.protocol import Job

_CONTAINER = "tensorflow"  # the operator accepts no other
_ROLES = ("chief", "worker", "ps", "evaluator")
_NAMES = {"chief": "Chief", "worker": "Worker", "ps": "PS", "evaluator": "Evaluator"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFlowPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)

    @property
    def task_types(self) -> Collection[str]:
        return ("tensorflow",)

    @property
    def kind(self) -> Kind:
        return kubeflow.kind_of("tfjobs", "TFJob")

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        custom = _read(job)
        need_at_least(kubeflow.count_replicas(custom.worker_replicas), 1, "workers", job)
        replicas = {}
        for role in _ROLES:
            message = getattr(custom, f"{role}_replicas")
            count = kubeflow.count_replicas(message)
            if count > 0:
                replica = kubeflow.read_replica(role, _CONTAINER, message)
                replicas[_NAMES[role]] = kubeflow.make_replicas(job, name, pods, count, replica)
        policy = kubeflow.run_policy(custom.run_policy)
        spec = {"runPolicy": policy, "tfReplicaSpecs": replicas}
        return kubeflow.make_job(self.kind, name, spec)

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        workers = Workers(job=job, around=around, timeouts=self.timeouts, roles=_ROLES)
        return kubeflow.observe(resource, workers)


def _read(job: Job) -> kubeflow_pb2.DistributedTensorflowTrainingTask:
    """Parse the custom message of task type version 1 or newer, or that of older SDKs."""
    if job.task.template.task_type_version >= 1:
        return read_custom(job, kubeflow_pb2.DistributedTensorflowTrainingTask)
    older = read_custom(job, tensorflow_pb2.DistributedTensorflowTrainingTask)
    newer = kubeflow_pb2.DistributedTensorflowTrainingTask()
    newer.worker_replicas.replicas = older.workers
    newer.ps_replicas.replicas = older.ps_replicas
    newer.chief_replicas.replicas = older.chief_replicas
    newer.evaluator_replicas.replicas = older.evaluator_replicas
    return newer
