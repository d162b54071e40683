"""Renders links to an attempt's logs in external systems, from the task's and the cluster's templates."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataplane.agent.runtimes.protocol import Job
from shared.model.reports import LogLink

_PLACEHOLDER = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Pod:
    namespace: str
    name: str


def render_log_links(
    job: Job, pod: Pod | None = None, of_cluster: Iterable[LogLink] = ()
) -> Sequence[LogLink]:
    """
    Render the task's and the cluster's links; omit those with a placeholder that has no value.

    Placeholders are the SDK's ``{{.actionName}}``, ``{{.podName}}``, ``{{.runName}}`` and
    ``{{.execution…}}``, and ``{{.namespace}}`` and ``{{.attempt}}``.
    """
    assignment = job.assignment
    run = assignment.key.run
    values = {
        "actionName": assignment.key.name,
        "runName": run.name,
        "executionProject": run.project,
        "executionDomain": run.domain,
        "executionOrg": assignment.org,
        "attempt": str(assignment.attempt.number),
    }
    if pod is not None:
        values |= {"podName": pod.name, "namespace": pod.namespace}
    of_task = (LogLink(link.name, link.uri) for link in job.task.template.metadata.log_links)
    found = []
    for link in (*of_task, *of_cluster):
        uri = _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), link.uri)
        if "{{" not in uri:
            found.append(LogLink(link.name, uri))
    return found
