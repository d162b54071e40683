"""Shared parts of jobs of Kubeflow's training operator: replicas, run policy, conditions."""

from collections.abc import Mapping
from typing import Any

from flyteidl2.plugins import common_pb2
from flyteidl2.plugins.kubeflow import common_pb2 as kubeflow_pb2

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.plugin import Observation, Stage
from dataplane.agent.runtimes.kubernetes.plugins.workers import (
    Workers,
    current_condition,
    operator_failure,
)
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, Replica
from dataplane.agent.runtimes.protocol import Job

OPERATOR = "Kubeflow's training operator"
GROUP = "kubeflow.org"
VERSION = "v1"

_RESTARTS: Mapping[int, str] = {
    common_pb2.RESTART_POLICY_NEVER: "Never",
    common_pb2.RESTART_POLICY_ON_FAILURE: "OnFailure",
    common_pb2.RESTART_POLICY_ALWAYS: "Always",
}


def kind_of(plural: str, name: str) -> Kind:
    return Kind(GROUP, VERSION, plural, name)


def make_job(kind: Kind, name: Name, spec: Mapping[str, Any]) -> Object:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"namespace": name.namespace, "name": name.name},
        "spec": spec,
    }


def make_replicas(
    job: Job, name: Name, pods: PodTemplates, count: int, replica: Replica
) -> dict[str, Any]:
    return {
        "replicas": count,
        "restartPolicy": replica.restart_policy,
        "template": pods.template(job, name, replica),
    }


def read_replica(role: str, container: str, message: Any) -> Replica:
    """
    Return the role as one of kubeflow's ReplicaSpec messages describes it.

    They hold the same fields twice: in ``common``, and in the older fields.
    """
    text = message.common if message.HasField("common") else message
    command = list(getattr(message, "command", ()))
    return Replica(
        role=role,
        container_name=container,
        image=text.image,
        resources=text.resources if text.HasField("resources") else None,
        command=command[:1] or None,
        args=command[1:] if command else None,
        restart_policy=_RESTARTS.get(text.restart_policy, "Never"),
    )


def count_replicas(message: Any) -> int:
    return int(message.common.replicas if message.HasField("common") else message.replicas)


def run_policy(message: kubeflow_pb2.RunPolicy | None) -> dict[str, Any]:
    """
    Return the job's run policy: one try, and its pods stay until the job is deleted.

    No time-to-live either: the agent deletes the job as soon as its pods were read.
    """
    policy: dict[str, Any] = {"cleanPodPolicy": "None", "backoffLimit": 0}
    if message is not None and message.backoff_limit:
        policy["backoffLimit"] = message.backoff_limit
    if message is not None and message.active_deadline_seconds:
        policy["activeDeadlineSeconds"] = message.active_deadline_seconds
    return policy


def observe(resource: Object, workers: Workers) -> Observation:
    known = ("Failed", "Succeeded", "Suspended", "Restarting", "Running", "Created")
    condition = current_condition(resource, known)
    if condition is None:
        return workers.untouched(resource, OPERATOR)
    reason, message = str(condition.get("reason") or ""), str(condition.get("message") or "")
    match condition["type"]:
        case "Failed":
            return workers.failed(operator_failure(reason or f"{resource['kind']}Failed", message))
        case "Succeeded":
            return workers.succeeded()
        case "Running":
            return workers.running()
        case "Suspended":
            return workers.preparing(Stage.QUEUED, "Suspended", message)
        case "Restarting":
            return workers.preparing(Stage.INITIALIZING, "Restarting", message)
        case _:
            return workers.preparing(Stage.QUEUED, "Created", "its pods are being made")
