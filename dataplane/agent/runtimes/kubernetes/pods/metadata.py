"""
Labels and annotations of a task's pod.

The agent's own are the last layer. Of the others, what Kubernetes would refuse is left out or
rewritten, and ``remark`` is told, so that the attempt's events say it.
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
"""Of one object, keys and values together; Kubernetes takes no more."""

Remark = Callable[[str, str], None]
"""Takes the reason, one word, and the message of an event of the attempt."""

_OURS = "volary.dev/"
_MAIN_CONTAINER = "kubectl.kubernetes.io/default-container"
_KEEP = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_NAMED = 10  # names in one message
_NAME_CHARACTERS = 70


def compose_labels(
    job: Job, role: str, *layers: Mapping[str, str], remark: Remark
) -> dict[str, str]:
    """Return the labels; the layers are what a cluster, a template and a task say."""
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
    """Return the annotations; BadSpecError if they are more than an object may have."""
    text = _lay({_KEEP: "false"}, *layers, job.run.spec.annotations.values)
    kept = {name: value for name, value in text.items() if is_annotation_key(name)}
    if left_out := text.keys() - kept.keys():
        remark(
            "AnnotationsLeftOut",
            f"Kubernetes takes no annotation with a key such as {_name(left_out)}",
        )
    composed = {**kept, **annotate_attempt(job.assignment), _MAIN_CONTAINER: primary}
    size = sum(len(name.encode()) + len(value.encode()) for name, value in composed.items())
    if size > MAX_ANNOTATION_BYTES:
        raise BadSpecError(
            f"the pod's annotations are {size} bytes, and Kubernetes takes"
            f" {MAX_ANNOTATION_BYTES}; give the run or the pod template fewer"
        )
    return composed


def _lay(*layers: Mapping[str, str]) -> dict[str, str]:
    """Lay the layers over each other, without what is ours alone to say."""
    return {
        name: value
        for layer in layers
        for name, value in layer.items()
        if not name.startswith(_OURS)
    }


def _name(names: Iterable[str]) -> str:
    """Name a few, however many and however long they are."""
    listed = sorted(names)
    shown = ", ".join(repr(name[:_NAME_CHARACTERS]) for name in listed[:_NAMED])
    more = len(listed) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
