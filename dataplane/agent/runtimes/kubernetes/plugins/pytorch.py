"""Run distributed PyTorch: a PyTorchJob, elastic or with a master."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from flyteidl2.plugins import pytorch_pb2
from flyteidl2.plugins.kubeflow import pytorch_pb2 as kubeflow_pb2

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext
from dataplane.agent.runtimes.kubernetes.plugins import kubeflow
from dataplane.agent.runtimes.kubernetes.plugins.specs import need_at_least, read_custom
from dataplane.agent.runtimes.kubernetes.plugins.workers import Workers
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.protocol import Job

_CONTAINER = "pytorch"  # the operator accepts no other


@dataclass(frozen=True, slots=True, kw_only=True)
class PyTorchPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)

    @property
    def task_types(self) -> Collection[str]:
        return ("pytorch",)

    @property
    def kind(self) -> Kind:
        return kubeflow.kind_of("pytorchjobs", "PyTorchJob")

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        custom = _read(job)
        worker = kubeflow.read_replica("worker", _CONTAINER, custom.worker_replicas)
        count = need_at_least(kubeflow.count_replicas(custom.worker_replicas), 1, "workers", job)
        replicas = {"Worker": kubeflow.make_replicas(job, name, pods, count, worker)}
        spec: dict[str, Any] = {
            "runPolicy": kubeflow.run_policy(custom.run_policy),
            "pytorchReplicaSpecs": replicas,
        }
        if custom.HasField("elastic_config"):
            spec |= _be_elastic(custom.elastic_config)
        else:
            master = kubeflow.read_replica("master", _CONTAINER, custom.master_replicas)
            replicas["Master"] = kubeflow.make_replicas(job, name, pods, 1, master)
        return kubeflow.make_job(self.kind, name, spec)

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        roles = ("master", "worker")
        workers = Workers(job=job, around=around, timeouts=self.timeouts, roles=roles)
        return kubeflow.observe(resource, workers)


def _read(job: Job) -> kubeflow_pb2.DistributedPyTorchTrainingTask:
    """Parse the custom message of task type version 1 or newer, or that of older SDKs."""
    if job.task.template.task_type_version >= 1:
        return read_custom(job, kubeflow_pb2.DistributedPyTorchTrainingTask)
    older = read_custom(job, pytorch_pb2.DistributedPyTorchTrainingTask)
    newer = kubeflow_pb2.DistributedPyTorchTrainingTask()
    newer.worker_replicas.replicas = older.workers
    if older.HasField("elastic_config"):
        newer.elastic_config.MergeFromString(older.elastic_config.SerializeToString())
    return newer


def _be_elastic(config: kubeflow_pb2.ElasticConfig) -> dict[str, Any]:
    """Return the elastic policy; restarts are torchrun's, of processes within the pods."""
    policy: dict[str, Any] = {"maxRestarts": config.max_restarts}
    if config.max_replicas:
        policy["minReplicas"] = config.min_replicas or config.max_replicas
        policy["maxReplicas"] = config.max_replicas
    if config.rdzv_backend:
        policy["rdzvBackend"] = config.rdzv_backend
    spec: dict[str, Any] = {"elasticPolicy": policy}
    if config.nproc_per_node:
        spec["nprocPerNode"] = str(config.nproc_per_node)
    return spec
