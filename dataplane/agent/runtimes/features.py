"""
Table of optional task features and the runtimes that provide them.

A runtime that ignores a feature that a task requests reports it in the attempt's log or
events, with the reason. Implementing a feature means changing its row here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from flyteidl2.core import tasks_pb2

from dataplane.agent.runtimes.protocol import Job

REASON = "FeatureIgnored"
"""Reason of the event that reports ignored features, for runtimes without a log of their own."""


class RuntimeKind(StrEnum):
    PROCESS = "runs tasks as local processes in its own environment"
    PODS = "runs tasks as pods"
    CONNECTORS = "hands the task to a connector"


@dataclass(frozen=True, slots=True)
class _Feature:
    what: str
    find: Callable[[Job], str | None]
    """Return the requested value, "" if the name suffices, None if it was not requested."""
    provided_by: frozenset[RuntimeKind] = frozenset()
    otherwise: str = ""
    """Fallback of runtimes that do not provide it; "" if the runtime's kind explains it."""


_PODS = frozenset({RuntimeKind.PODS})
_ELSEWHERE = frozenset({RuntimeKind.PODS, RuntimeKind.CONNECTORS})
_ALWAYS_PROVIDED = frozenset({tasks_pb2.Resources.MEMORY, tasks_pb2.Resources.UNKNOWN})


def _is(condition: object) -> str | None:
    return "" if condition else None


def _find_image(job: Job) -> str | None:
    container = job.task.container
    return container.image if container is not None and container.image else None


def _find_pod_template(job: Job) -> str | None:
    template = job.task.template
    if name := template.metadata.pod_template_name:
        return str(name)
    return _is(template.HasField("k8s_pod"))


def _find_accelerator(job: Job) -> str | None:
    resources = job.task.template.extended_resources
    return resources.gpu_accelerator.device if resources.HasField("gpu_accelerator") else None


def _find_resources(job: Job) -> str | None:
    resources = job.task.template.container.resources
    asked = {
        tasks_pb2.Resources.ResourceName.Name(entry.name).lower().replace("_", " ")
        for entries in (resources.requests, resources.limits)
        for entry in entries
        if entry.name not in _ALWAYS_PROVIDED
    }
    return ", ".join(sorted(asked)) or None


def _find_service_account(job: Job) -> str | None:
    of_run = job.run.spec.security_context.run_as.k8s_service_account
    of_task = job.task.template.security_context.run_as.k8s_service_account
    return of_run or of_task or None


_TABLE: Sequence[_Feature] = (
    _Feature("image", _find_image, _ELSEWHERE),
    _Feature(
        "the pod template",
        _find_pod_template,
        _PODS,
        "only the arguments, variables and memory of its primary container are used",
    ),
    _Feature("the accelerator", _find_accelerator, _PODS),
    _Feature("the resource request for", _find_resources, _PODS),
    _Feature(
        "the shared memory size",
        lambda job: _is(job.task.template.extended_resources.HasField("shared_memory")),
        _PODS,
        "the machine's own applies",
    ),
    _Feature(
        "the request for annotations",
        lambda job: ", ".join(sorted(job.run.spec.annotations.values)) or None,
        _PODS,
        "local processes and connector jobs have no pod to annotate",
    ),
    _Feature("the service account", _find_service_account, _PODS),
    _Feature(
        "the request for OAuth2 tokens",
        lambda job: _is(job.task.template.security_context.tokens),
        otherwise="this release does not issue OAuth2 tokens to tasks",
    ),
    _Feature(
        "the reuse policy",
        lambda job: _is(job.task.template.HasField("reuse_policy")),
        otherwise="this release starts a process or a pod of its own for each attempt",
    ),
)


def list_ignored(job: Job, kind: RuntimeKind) -> Sequence[str]:
    """Return a sentence for each feature that the task requests and the runtime ignores."""
    user_errors = []
    for feature in _TABLE:
        found = None if kind in feature.provided_by else feature.find(job)
        if found is not None:
            named = f"{feature.what} {found}" if found else feature.what
            user_errors.append(
                f"{named} is ignored: {feature.otherwise or f'this cluster {kind.value}'}"
            )
    return user_errors


NEEDED_BY_TYPE: Mapping[str, str] = {
    "raw-container": "a runtime for containers (Kubernetes)",
    "spark": "Kubernetes with the Spark operator",
    "ray": "Kubernetes with KubeRay",
    "dask": "Kubernetes with the Dask operator",
    "pytorch": "Kubernetes with the training operator",
    "tensorflow": "Kubernetes with the training operator",
    "mpi": "Kubernetes with the training operator",
    "clustered-task": "Kubernetes with JobSet",
}
"""The runtime or operator that each task type needs, for types that the SDK alone cannot run."""
