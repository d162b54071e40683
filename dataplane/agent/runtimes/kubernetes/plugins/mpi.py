"""
Run an MPI task: an MPIJob whose launcher runs the task's command on waiting workers.

Version v1, which the training operator serves along with PyTorch and TensorFlow; v2beta1
belongs to a separate operator, which cannot be installed together with it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from flyteidl2.plugins import mpi_pb2
from flyteidl2.plugins.kubeflow import mpi_pb2 as kubeflow_pb2

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext
from dataplane.agent.runtimes.kubernetes.plugins import kubeflow
from dataplane.agent.runtimes.kubernetes.plugins.specs import need_at_least, read_custom
from dataplane.agent.runtimes.kubernetes.plugins.workers import Workers
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.protocol import Job

_CONTAINER = "mpi"  # the operator accepts no other
_WORKER_COMMAND = "worker_spec_command"  # in the template's config, before version 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MPIPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)

    @property
    def task_types(self) -> Collection[str]:
        return ("mpi",)

    @property
    def kind(self) -> Kind:
        return kubeflow.kind_of("mpijobs", "MPIJob")

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        custom = _read(job)
        count = need_at_least(kubeflow.count_replicas(custom.worker_replicas), 1, "workers", job)
        launcher = kubeflow.read_replica("launcher", _CONTAINER, custom.launcher_replicas)
        # The launcher starts the workers' processes with kubectl.
        launcher = replace(launcher, calls_kubernetes=True)
        worker = kubeflow.read_replica("worker", _CONTAINER, custom.worker_replicas)
        if worker.command is None:  # the operator makes them sleep instead of running the task
            worker = replace(worker, command=(), args=())
        policy = kubeflow.run_policy(custom.run_policy)
        spec = {
            "slotsPerWorker": max(custom.slots, 1),
            "cleanPodPolicy": policy["cleanPodPolicy"],
            "runPolicy": policy,
            "mpiReplicaSpecs": {
                "Launcher": kubeflow.make_replicas(job, name, pods, 1, launcher),
                "Worker": kubeflow.make_replicas(job, name, pods, count, worker),
            },
        }
        return kubeflow.make_job(self.kind, name, spec)

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        roles = ("launcher", "worker")
        workers = Workers(job=job, around=around, timeouts=self.timeouts, roles=roles)
        return kubeflow.observe(resource, workers)


def _read(job: Job) -> kubeflow_pb2.DistributedMPITrainingTask:
    """Parse the custom message of task type version 1 or newer, or that of older SDKs."""
    if job.task.template.task_type_version >= 1:
        return read_custom(job, kubeflow_pb2.DistributedMPITrainingTask)
    older = read_custom(job, mpi_pb2.DistributedMPITrainingTask)
    newer = kubeflow_pb2.DistributedMPITrainingTask(slots=older.slots)
    newer.worker_replicas.replicas = older.num_workers
    newer.worker_replicas.command.extend(job.task.template.config.get(_WORKER_COMMAND, "").split())
    return newer
