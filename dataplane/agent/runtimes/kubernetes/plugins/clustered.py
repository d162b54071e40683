"""
Run a clustered task: a JobSet of one indexed job, whose pods find each other by name.

The SDK's launcher in each pod computes its rank from the variables below. The JobSet restarts
all pods as often as the task allows; after that the attempt has failed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from flyteidl2.plugins import clustered_pb2

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from dataplane.agent.runtimes.kubernetes.plugins.specs import need_at_least, read_custom
from dataplane.agent.runtimes.kubernetes.plugins.workers import (
    Workers,
    current_condition,
    operator_failure,
)
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, Replica
from dataplane.agent.runtimes.protocol import Job

_OPERATOR = "the JobSet controller"
_WORKERS = "workers"  # in the name of the first pod, which the SDK's launcher computes
_MASTER_PORT = "29500"

_BACKENDS: Mapping[int, str] = {clustered_pb2.STATIC: "static", clustered_pb2.C10D: "c10d"}
_FIELDS: Mapping[str, str] = {
    "JOBSET_NAME": "metadata.labels['jobset.sigs.k8s.io/jobset-name']",
    "JOBSET_RESTART_ATTEMPT": "metadata.labels['jobset.sigs.k8s.io/restart-attempt']",
    "POD_NAMESPACE": "metadata.namespace",
}

# A disrupted pod fails the job with a reason of its own, which the JobSet's failure policy
# matches.
_TELL_DISRUPTIONS: Mapping[str, Any] = {
    "rules": [
        {
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
    ]
}
_FREE_RESTART: Mapping[str, Any] = {
    "name": "maintenance",
    "action": "RestartJobSetAndIgnoreMaxRestarts",
    "onJobFailureReasons": ["PodFailurePolicy"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusteredPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)

    @property
    def task_types(self) -> Collection[str]:
        return ("clustered-task",)

    @property
    def kind(self) -> Kind:
        return Kind("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet")

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        custom = read_custom(job, clustered_pb2.ClusteredTaskSpec)
        count = need_at_least(custom.replicas, 1, "replicas", job)
        need_at_least(custom.nproc_per_node, 1, "processes per node", job)
        worker = Replica(role="worker", env=_variables(custom), references=_references())
        one_job: dict[str, Any] = {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            "backoffLimit": 0,
            "template": pods.template(job, name, worker),
        }
        if custom.failure_policy.restart_on_host_maintenance:
            one_job["podFailurePolicy"] = _TELL_DISRUPTIONS
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.name,
            "metadata": {"namespace": name.namespace, "name": name.name},
            "spec": {
                "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
                "successPolicy": {"operator": "All"},
                "failurePolicy": _policy(custom.failure_policy),
                "replicatedJobs": [
                    {"name": _WORKERS, "replicas": 1, "template": {"spec": one_job}}
                ],
            },
        }

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        workers = Workers(job=job, around=around, timeouts=self.timeouts, roles=("worker",))
        status = resource.get("status") or {}
        condition = current_condition(resource, ("Failed", "Completed", "Suspended"))
        if condition is not None:
            reason, text = str(condition.get("reason") or ""), str(condition.get("message") or "")
            match condition["type"]:
                case "Failed":
                    return workers.failed(operator_failure(reason or "JobSetFailed", text))
                case "Completed":
                    return workers.succeeded()
                case _:
                    return workers.preparing(Stage.QUEUED, "Suspended", text)
        if not status:
            return workers.untouched(resource, _OPERATOR)
        restarts = status.get("restarts") or 0
        again = f"all pods restarted, restart {restarts}" if restarts else ""
        # These count jobs, of which there is one: it is ready when all of its pods are.
        counts = status.get("replicatedJobsStatus") or ()
        if any(each.get("ready") or each.get("succeeded") for each in counts):
            return workers.running(again)
        reason = "Restarting" if restarts else "Created"
        return workers.preparing(Stage.QUEUED, reason, again or "its pods are being created")


def _variables(custom: clustered_pb2.ClusteredTaskSpec) -> Mapping[str, str]:
    return {
        "NNODES": str(custom.replicas),
        "NPROC_PER_NODE": str(custom.nproc_per_node),
        "MASTER_PORT": _MASTER_PORT,
        "RDZV_BACKEND": _BACKENDS.get(custom.runtime.torchrun.rdzv_backend, "static"),
        # Only the last restart writes error.pb.
        "JOBSET_MAX_RESTARTS": str(custom.failure_policy.max_restarts),
    }


def _references() -> list[Object]:
    """
    Return variables from labels the JobSet controller sets; JOB_COMPLETION_INDEX is set by
    itself.
    """
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in _FIELDS.items()
    ]


def _policy(policy: clustered_pb2.ClusterFailurePolicy) -> dict[str, Any]:
    spec: dict[str, Any] = {"maxRestarts": max(policy.max_restarts, 0)}
    if policy.restart_on_host_maintenance:
        spec["rules"] = [_FREE_RESTART]
    return spec
