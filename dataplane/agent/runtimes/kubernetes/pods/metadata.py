"""Labels and annotations of a task's pod; what is ours, nobody can say otherwise."""

import re
from collections.abc import Mapping

from dataplane.agent.kube.objects import annotate_attempt, as_label, label_attempt
from dataplane.agent.runtimes.protocol import Job

ROLE_LABEL = "volary.dev/role"
TASK_LABEL = "volary.dev/task"

_OURS = "volary.dev/"
_MAIN_CONTAINER = "kubectl.kubernetes.io/default-container"
_KEEP = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_KEY = re.compile(r"(?:[a-z0-9][-a-z0-9.]{0,251}[a-z0-9]/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?")


def compose_labels(job: Job, role: str, *layers: Mapping[str, str]) -> dict[str, str]:
    """Return the labels; the layers are what a cluster, a template and a task say."""
    run = {
        name: as_label(value)
        for name, value in job.run.spec.labels.values.items()
        if _KEY.fullmatch(name)  # a run's labels need not be Kubernetes'
    }
    ours = {**label_attempt(job.assignment), TASK_LABEL: as_label(job.task.name)}
    if role:
        ours[ROLE_LABEL] = as_label(role)
    return _compose(ours, *layers, run)


def compose_annotations(job: Job, primary: str, *layers: Mapping[str, str]) -> dict[str, str]:
    run = {
        name: value
        for name, value in job.run.spec.annotations.values.items()
        if _KEY.fullmatch(name)
    }
    ours = {**annotate_attempt(job.assignment), _MAIN_CONTAINER: primary}
    return _compose(ours, {_KEEP: "false"}, *layers, run)


def _compose(ours: Mapping[str, str], *layers: Mapping[str, str]) -> dict[str, str]:
    others = {name: value for layer in layers for name, value in layer.items()}
    allowed = {name: value for name, value in others.items() if not name.startswith(_OURS)}
    return {**allowed, **ours}
