"""
Run a Dask task: a DaskJob, whose runner runs the SDK's entry point next to its own cluster.

The operator creates scheduler and workers as deployments, so these are restarted when they end;
the runner is not, and its end is the job's.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from flyteidl2.plugins import dask_pb2

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from dataplane.agent.runtimes.kubernetes.plugins.specs import need_at_least, read_custom
from dataplane.agent.runtimes.kubernetes.plugins.workers import Workers, operator_failure
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, Replica
from dataplane.agent.runtimes.kubernetes.pods.merging import merge
from dataplane.agent.runtimes.protocol import Job
from shared.kit.quantities import read_quantity

_OPERATOR = "the Dask operator"
_PORTS = {"tcp-comm": 8786, "http-dashboard": 8787}
_READY = {
    "httpGet": {"port": "http-dashboard", "path": "/health"},
    "initialDelaySeconds": 5,
    "periodSeconds": 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)

    @property
    def task_types(self) -> Collection[str]:
        return ("dask",)

    @property
    def kind(self) -> Kind:
        return Kind("kubernetes.dask.org", "v1", "daskjobs", "DaskJob")

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        custom = read_custom(job, dask_pb2.DaskJob)
        count = need_at_least(custom.workers.number_of_workers, 1, "workers", job)
        runner = pods.template(job, name, Replica(role="runner", container_name="job-runner"))
        cluster = {
            "worker": {"replicas": count, **_make_worker(job, name, pods, custom.workers)},
            "scheduler": _make_scheduler(job, name, pods, custom.scheduler),
        }
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.name,
            "metadata": {"namespace": name.namespace, "name": name.name},
            "spec": {"job": runner, "cluster": {"spec": cluster}},
        }

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        roles = ("runner", "scheduler", "worker")
        workers = Workers(job=job, around=around, timeouts=self.timeouts, roles=roles)
        state = (resource.get("status") or {}).get("jobStatus") or ""
        match state:
            case "":
                return workers.untouched(resource, _OPERATOR)
            case "JobCreated":
                return workers.preparing(Stage.QUEUED, "JobCreated", "its cluster is being made")
            case "ClusterCreated":
                return workers.preparing(Stage.QUEUED, "ClusterCreated", "its cluster is starting")
            case "Successful":
                return workers.succeeded()
            case "Failed":
                text = "the job's runner failed, and its status does not show why"
                return workers.failed(operator_failure("DaskJobFailed", text))
            case _:
                return workers.running("" if state == "Running" else f"Dask says {state}")


def _make_scheduler(
    job: Job, name: Name, pods: PodTemplates, scheduler: dask_pb2.DaskScheduler
) -> dict[str, Any]:
    replica = Replica(
        role="scheduler",
        container_name="scheduler",
        image=scheduler.image,
        command=(),
        args=("dask-scheduler",),
        resources=scheduler.resources,
        restart_policy="Always",
    )
    made = pods.template(job, name, replica)
    container = _find(made, "scheduler")
    ports = [
        {"name": each, "containerPort": port, "protocol": "TCP"} for each, port in _PORTS.items()
    ]
    container["ports"] = merge(container, {"ports": ports})["ports"]
    container.setdefault("readinessProbe", _READY)
    service = {
        "type": "ClusterIP",
        "selector": {"dask.org/cluster-name": name.name, "dask.org/component": "scheduler"},
        "ports": [
            {"name": each, "port": port, "targetPort": each, "protocol": "TCP"}
            for each, port in _PORTS.items()
        ],
    }
    return {**made, "service": service}


def _make_worker(
    job: Job, name: Name, pods: PodTemplates, group: dask_pb2.DaskWorkerGroup
) -> dict[str, Any]:
    """Pass workers their limits explicitly; they would otherwise assume the node's."""
    replica = Replica(
        role="worker",
        container_name="worker",
        image=group.image,
        command=(),
        resources=group.resources,
        restart_policy="Always",
    )
    made = dict(pods.template(job, name, replica))
    container = _find(made, "worker")
    limits = container["resources"]["limits"]
    container["args"] = ["dask-worker", "--name", "$(DASK_WORKER_NAME)"]
    cores, memory = read_quantity(limits.get("cpu", "")), read_quantity(limits.get("memory", ""))
    if cores is not None:
        container["args"] += ["--nthreads", str(max(1, int(cores)))]
    if memory is not None:
        container["args"] += ["--memory-limit", str(int(memory))]
    return made


def _find(made: Object, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in made["spec"]["containers"] if each["name"] == name
    )
    return found
