"""
Run a Ray task: a RayJob with its own cluster, on whose head the SDK's entry point runs.

The operator does not shut down the cluster when the job ends: its pods are read first, and are
deleted with the RayJob. The job is tried once; KubeRay's submitter finds a job that it has
submitted before, so that its own retries run nothing twice.
"""

import shlex
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flyteidl2.core import tasks_pb2
from flyteidl2.plugins import ray_pb2

from dataplane.agent.kube.names import is_dns_label
from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from dataplane.agent.runtimes.kubernetes.plugins.specs import lay_over, read_custom
from dataplane.agent.runtimes.kubernetes.plugins.workers import Workers, operator_failure
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, Replica
from dataplane.agent.runtimes.kubernetes.pods.merging import merge
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.model.reports import Failure, FailureKind

_OPERATOR = "KubeRay"
_SUBMITTER = "ray-job-submitter"
_HEAD = "ray-head"
_WORKER = "ray-worker"
_HEAD_PORTS = (
    {"name": "gcs-server", "containerPort": 6379},
    {"name": "client", "containerPort": 10001},
    {"name": "dashboard", "containerPort": 8265},
)
_MODES: Mapping[int, str] = {
    ray_pb2.AutoscalerOptions.UPSCALING_MODE_DEFAULT: "Default",
    ray_pb2.AutoscalerOptions.UPSCALING_MODE_AGGRESSIVE: "Aggressive",
    ray_pb2.AutoscalerOptions.UPSCALING_MODE_CONSERVATIVE: "Conservative",
}
_SMALL = tasks_pb2.Resources(
    requests=[
        tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.CPU, value="500m"),
        tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.MEMORY, value="512Mi"),
    ],
    limits=[
        tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.CPU, value="1"),
        tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.MEMORY, value="1Gi"),
    ],
)
_ENDED_BADLY = frozenset({"FAILED", "STOPPED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPlugin:
    timeouts: PendingTimeouts = field(default_factory=PendingTimeouts)

    @property
    def task_types(self) -> Collection[str]:
        return ("ray",)

    @property
    def kind(self) -> Kind:
        return Kind("ray.io", "v1", "rayjobs", "RayJob")

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        custom = read_custom(job, ray_pb2.RayJob)
        submitting = _make_submitter(job, name, pods)
        cluster: dict[str, Any] = {
            "enableInTreeAutoscaling": custom.ray_cluster.enable_autoscaling,
            "headGroupSpec": _make_head(job, name, pods, custom.ray_cluster),
            "workerGroupSpecs": [
                _make_group(job, name, pods, group)
                for group in custom.ray_cluster.worker_group_spec
            ],
        }
        if custom.ray_cluster.HasField("autoscaler_options"):
            cluster["autoscalerOptions"] = _scale(job, pods, custom.ray_cluster.autoscaler_options)
        spec = {
            "entrypoint": _take_entrypoint(submitting),
            "runtimeEnvYAML": _read_runtime_env(job, custom),
            "backoffLimit": 0,
            "shutdownAfterJobFinishes": False,
            "rayClusterSpec": cluster,
            "submitterPodTemplate": submitting,
        }
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.name,
            "metadata": {"namespace": name.namespace, "name": name.name},
            "spec": {field: value for field, value in spec.items() if value != ""},
        }

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        roles = ("submitter", "head", "worker")
        workers = Workers(job=job, around=around, timeouts=self.timeouts, roles=roles)
        status = resource.get("status") or {}
        deployment, text = status.get("jobDeploymentStatus") or "", str(status.get("message") or "")
        match deployment:
            case "":
                return workers.untouched(resource, _OPERATOR)
            case "Complete" if status.get("jobStatus") not in _ENDED_BADLY:
                return workers.succeeded()
            case "Complete" | "Failed":
                return workers.failed(_classify(status, text))
            case "Initializing":
                return workers.preparing(Stage.INITIALIZING, "ClusterStarting", text)
            case "Waiting" | "Suspending" | "Suspended" | "Retrying":
                return workers.preparing(Stage.QUEUED, deployment, text)
            case "Running":
                return workers.running()
            case _:
                return workers.running(f"KubeRay says {deployment}")


def _classify(status: Object, text: str) -> Failure:
    reason = str(status.get("reason") or "")
    if reason == "SubmissionFailed":
        return operator_failure("RaySubmissionFailed", text, FailureKind.SYSTEM)
    if status.get("jobStatus") == "STOPPED":
        return operator_failure("RayJobStopped", text or "the Ray job was stopped")
    return operator_failure("RayJobFailed", text)


def _make_submitter(job: Job, name: Name, pods: PodTemplates) -> Object:
    """Return the pod that submits the job and follows it: the task's pod, with small resources."""
    replica = Replica(role="submitter", container_name=_SUBMITTER, resources=_SMALL)
    return pods.template(_with_devices(job, tasks_pb2.ExtendedResources()), name, replica)


def _make_head(
    job: Job, name: Name, pods: PodTemplates, cluster: ray_pb2.RayCluster
) -> dict[str, Any]:
    group = cluster.head_group_spec
    # KubeRay's autoscaler is a container of this pod.
    scales = cluster.enable_autoscaling
    replica = Replica(role="head", container_name=_HEAD, calls_kubernetes=scales)
    template = _make_pod(job, name, pods, group, replica)
    container = template["spec"]["containers"][0]
    container["ports"] = merge({"ports": list(_HEAD_PORTS)}, container)["ports"]
    params = {"dashboard-host": "0.0.0.0", "disable-usage-stats": "true"}  # noqa: S104 - in a pod
    return {
        "rayStartParams": {**params, **dict(group.ray_start_params)},
        "template": template,
    }


def _make_group(
    job: Job, name: Name, pods: PodTemplates, group: ray_pb2.WorkerGroupSpec
) -> dict[str, Any]:
    if not is_dns_label(group.group_name):
        raise BadSpecError(
            f"the worker group {group.group_name!r} of Ray task {job.task.name} does not make a valid name of a"
            " pod; use small letters, digits and '-'"
        )
    replica = Replica(role="worker", container_name=_WORKER)
    return {
        "groupName": group.group_name,
        "replicas": group.replicas,
        "minReplicas": min(group.min_replicas, group.replicas),
        "maxReplicas": max(group.max_replicas, group.replicas),
        "rayStartParams": {"disable-usage-stats": "true", **dict(group.ray_start_params)},
        "template": _make_pod(job, name, pods, group, replica),
    }


def _make_pod(
    job: Job,
    name: Name,
    pods: PodTemplates,
    group: ray_pb2.HeadGroupSpec | ray_pb2.WorkerGroupSpec,
    replica: Replica,
) -> dict[str, Any]:
    """
    Return a pod of the group: the task's without its command, overlaid by the group's own
    spec.
    """
    if group.HasField("k8s_pod"):
        pod = lay_over(job.task.template, group.k8s_pod, replica.container_name)
        replica = replace(replica, pod=pod)
    if group.HasField("extended_resources"):
        job = _with_devices(job, group.extended_resources)
    made = dict(pods.template(job, name, replica))
    containers = made["spec"]["containers"]
    container = next(each for each in containers if each["name"] == replica.container_name)
    for started_by_ray in ("command", "args"):
        container.pop(started_by_ray, None)
    # KubeRay takes the first container for Ray's.
    others = [each for each in containers if each is not container]
    return {**made, "spec": {**made["spec"], "containers": [container, *others]}}


def _with_devices(job: Job, resources: tasks_pb2.ExtendedResources) -> Job:
    template = tasks_pb2.TaskTemplate()
    template.CopyFrom(job.task.template)
    template.extended_resources.CopyFrom(resources)
    return replace(job, task=replace(job.task, template=template))


def _take_entrypoint(submitting: Object) -> str:
    """Remove the command from the submitter's container; return it as one line for a shell."""
    container = next(
        each for each in submitting["spec"]["containers"] if each["name"] == _SUBMITTER
    )
    return shlex.join([*container.pop("command", []), *container.pop("args", [])])


def _read_runtime_env(job: Job, custom: ray_pb2.RayJob) -> str:
    """
    Return the runtime_env as YAML; the older form, base64 of JSON, is decoded (JSON is
    YAML).
    """
    if custom.runtime_env_yaml or not custom.runtime_env:
        return str(custom.runtime_env_yaml)
    try:
        return b64decode(custom.runtime_env, validate=True).decode()
    except (Base64Error, UnicodeDecodeError) as error:
        raise BadSpecError(
            f"the runtime_env of Ray task {job.task.name} is not valid base64"
        ) from error


def _scale(job: Job, pods: PodTemplates, options: ray_pb2.AutoscalerOptions) -> dict[str, Any]:
    scaling: dict[str, Any] = {}
    if options.idle_timeout_seconds > 0:
        scaling["idleTimeoutSeconds"] = options.idle_timeout_seconds
    if options.upscaling_mode in _MODES:
        scaling["upscalingMode"] = _MODES[options.upscaling_mode]
    if options.image:
        scaling["image"] = options.image
    if options.env:
        scaling["env"] = [{"name": pair.key, "value": pair.value} for pair in options.env]
    if options.HasField("resources"):
        scaling["resources"] = pods.complete_resources(job, options.resources, "autoscaler")
    return scaling
