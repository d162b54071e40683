"""Kinds, names, labels and annotations of the agent's Kubernetes objects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.agent.kube.names import as_label, digest, render_namespace
from shared.model.assignments import Assignment

Object = Mapping[str, Any]
"""One object of the API, as JSON; never changed in place."""

MANAGED_LABEL = "volary.dev/managed"  # "true" on everything the agent creates
AGENT_LABEL = "volary.dev/agent"  # the agent's own namespace, where two share a cluster
ORG_LABEL = "volary.dev/org"
PROJECT_LABEL = "volary.dev/project"
DOMAIN_LABEL = "volary.dev/domain"
RUN_LABEL = "volary.dev/run"
ACTION_LABEL = "volary.dev/action"
ATTEMPT_LABEL = "volary.dev/attempt"
"""An AttemptId as text: finds an attempt's objects whatever their name."""

GRACE_ANNOTATION = "volary.dev/grace"
"""Seconds from SIGTERM to SIGKILL that the task requests for a stop."""

INPUT_URI_ANNOTATION = "volary.dev/input-uri"
OUTPUT_PREFIX_ANNOTATION = "volary.dev/output-prefix"
RAW_DATA_PREFIX_ANNOTATION = "volary.dev/raw-data-prefix"
RUN_BASE_ANNOTATION = "volary.dev/run-base"
LEASE_ANNOTATION = "volary.dev/lease"

_MAX_NAME = 63 - len("-workers-0-9999-xxxxx")  # operators append such suffixes
_MARK_DIGITS = 12
_SHORT_MARK_DIGITS = 8  # of earlier releases; pods of theirs may still run
_MARK = re.compile(rf"-([0-9]+-[0-9a-f]{{{_MARK_DIGITS}}})(?=-|$)")
_SHORT_MARK = re.compile(rf"-([0-9]+-[0-9a-f]{{{_SHORT_MARK_DIGITS}}})(?=-|$)")


@dataclass(frozen=True, slots=True)
class Kind:
    group: str  # "" for the core
    version: str
    plural: str
    name: str  # the "kind" of its objects

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base(self) -> str:
        """The API's path above ``namespaces/…`` or ``<plural>``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"
)
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
EVENT = Kind("", "v1", "events", "Event")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACE = Kind("", "v1", "namespaces", "Namespace")
POD = Kind("", "v1", "pods", "Pod")
POD_TEMPLATE = Kind("", "v1", "podtemplates", "PodTemplate")
SECRET = Kind("", "v1", "secrets", "Secret")
SERVICE = Kind("", "v1", "services", "Service")
TASK_ACTION = Kind("volary.dev", "v1", "taskactions", "TaskAction")
TOKEN_REVIEW = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """Namespace and name of an object; ``namespace`` is "" for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def name_of(obj: Object) -> Name:
    metadata = obj["metadata"]
    return Name(metadata.get("namespace", ""), metadata["name"])


def name_attempt(assignment: Assignment, namespace_template: str) -> Name:
    """
    Return the name of the attempt's TaskAction and of its pod or other resource.

    The name is deterministic, so creating it twice is harmless, and unique to the attempt: its
    end is derived from the attempt's identifier. An attempt that an earlier release accepted
    may have another name: try ``Owners.find_object`` first.
    """
    key = assignment.key
    tail = mark_attempt(str(assignment.attempt))
    readable = _as_name(f"{key.run.name}-{key.name}")
    if not readable[0].isalpha():  # operators may create a Service of it, which needs a letter
        readable = f"t{readable}"
    name = f"{readable[: _MAX_NAME - len(tail) - 1].rstrip('-')}-{tail}"
    return Name(namespace_of(assignment, namespace_template), name)


def namespace_of(assignment: Assignment, template: str) -> str:
    """Return the namespace of the attempt's project and domain; no two share one."""
    run = assignment.key.run
    values = {"org": assignment.org, "project": run.project, "domain": run.domain}
    return render_namespace(template, values)


def mark_attempt(attempt: str) -> str:
    """Return the attempt's mark: the end of its objects' names, unique to the attempt."""
    number = attempt.rpartition("-")[2]
    return f"{number}-{digest(attempt, _MARK_DIGITS)}"


def short_mark_of(attempt: str) -> str:
    """Return the mark that an earlier release gave the attempt's objects."""
    return mark_attempt(attempt)[: _SHORT_MARK_DIGITS - _MARK_DIGITS]


def find_mark(name: str) -> str:
    """
    Return the mark in the name of an attempt's object; "" if it has none.

    The last match counts: the user-chosen names before it may look like marks.
    """
    found = _MARK.findall(name) or _SHORT_MARK.findall(name)
    return str(found[-1]) if found else ""


def label_attempt(assignment: Assignment) -> dict[str, str]:
    """Return the labels of all objects created for the attempt."""
    run = assignment.key.run
    labels = {
        ORG_LABEL: assignment.org,
        PROJECT_LABEL: run.project,
        DOMAIN_LABEL: run.domain,
        RUN_LABEL: run.name,
        ACTION_LABEL: assignment.key.name,
    }
    return {
        MANAGED_LABEL: "true",
        ATTEMPT_LABEL: str(assignment.attempt),
        **{name: as_label(value) for name, value in labels.items()},
    }


def annotate_attempt(assignment: Assignment) -> dict[str, str]:
    """
    Return the annotations by which the proxy authorizes a pod: full names and URI prefixes.

    The keys of the names are those of the labels, which hold only a part of a long name.
    """
    run = assignment.key.run
    return {
        ORG_LABEL: assignment.org,
        PROJECT_LABEL: run.project,
        DOMAIN_LABEL: run.domain,
        RUN_LABEL: run.name,
        ACTION_LABEL: assignment.key.name,
        ATTEMPT_LABEL: str(assignment.attempt),
        LEASE_ANNOTATION: str(assignment.lease),
        INPUT_URI_ANNOTATION: assignment.input_uri,
        OUTPUT_PREFIX_ANNOTATION: assignment.output_prefix,
        RAW_DATA_PREFIX_ANNOTATION: assignment.raw_data_prefix,
        RUN_BASE_ANNOTATION: assignment.run_base,
    }


def _as_name(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-") or "x"
