"""
Compose labels and annotations of a task's pod.

The agent's own are the last layer. Others that Kubernetes would refuse are dropped or
rewritten, and reported through ``remark``, so that the attempt's events show it.
"""

from collections.abc import Callable, Iterable, Mapping

from dataplane.agent.kube.names import (
    as_label,
    is_annotation_key,
    is_label_key,
    is_label_value,
)
from dataplane.agent.kube.objects import annotate_attempt, label_attempt
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError

ROLE_LABEL = "volary.dev/role"
TASK_LABEL = "volary.dev/task"
MAX_ANNOTATION_BYTES = 256 * 1024
"""Size limit of one object's annotations, keys and values together (Kubernetes')."""

Remark = Callable[[str, str], None]
"""Callback that receives the reason, one word, and the message of an event of the attempt."""

_OURS = "volary.dev/"
_MAIN_CONTAINER = "kubectl.kubernetes.io/default-container"
_KEEP = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_NAMED = 10  # names in one message
_NAME_CHARACTERS = 70


def compose_labels(
    job: Job, role: str, *layers: Mapping[str, str], remark: Remark
) -> dict[str, str]:
    """Return the labels; the layers are those of a cluster, a template and a task."""
    text = _lay(*layers, job.run.spec.labels.values)
    kept = {name: value for name, value in text.items() if is_label_key(name)}
    rewritten = {name: as_label(value) for name, value in kept.items() if not is_label_value(value)}
    if left_out := text.keys() - kept.keys():
        remark("LabelsLeftOut", f"Kubernetes takes no label with a key such as {_name(left_out)}")
    if rewritten:
        changes = [f"{name}={value}" for name, value in rewritten.items()]
        remark(
            "LabelsRewritten",
            "Kubernetes takes 63 letters, digits, '-', '_' and '.' as a label's value, so there is"
            f" instead {_name(changes)}",
        )
    ours = {**label_attempt(job.assignment), TASK_LABEL: as_label(job.task.name)}
    if role:
        ours[ROLE_LABEL] = as_label(role)
    return {**kept, **rewritten, **ours}


def compose_annotations(
    job: Job, primary: str, *layers: Mapping[str, str], remark: Remark
) -> dict[str, str]:
    """Return the annotations; BadSpecError if they exceed an object's size limit."""
    text = _lay({_KEEP: "false"}, *layers, job.run.spec.annotations.values)
    kept = {name: value for name, value in text.items() if is_annotation_key(name)}
    if left_out := text.keys() - kept.keys():
        remark(
            "AnnotationsLeftOut",
            f"Kubernetes refuses annotations with a key such as {_name(left_out)}",
        )
    composed = {**kept, **annotate_attempt(job.assignment), _MAIN_CONTAINER: primary}
    size = sum(len(name.encode()) + len(value.encode()) for name, value in composed.items())
    if size > MAX_ANNOTATION_BYTES:
        raise BadSpecError(
            f"the pod's annotations are {size} bytes, and Kubernetes accepts"
            f" {MAX_ANNOTATION_BYTES}; give the run or the pod template fewer"
        )
    return composed


def _lay(*layers: Mapping[str, str]) -> dict[str, str]:
    """Merge the layers, without keys reserved for the agent."""
    return {
        name: value
        for layer in layers
        for name, value in layer.items()
        if not name.startswith(_OURS)
    }


def _name(names: Iterable[str]) -> str:
    """List a few of the names, shortened, however many there are."""
    listed = sorted(names)
    shown = ", ".join(repr(name[:_NAME_CHARACTERS]) for name in listed[:_NAMED])
    more = len(listed) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
