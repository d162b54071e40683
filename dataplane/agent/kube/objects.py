"""Kinds of objects, what they are called and how they are labelled."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.model.assignments import Assignment

Object = Mapping[str, Any]
"""One object of the API, as JSON; never changed in place."""

MANAGED_LABEL = "volary.dev/managed"  # "true" on everything the agent makes
AGENT_LABEL = "volary.dev/agent"  # the agent's own namespace, where two share a cluster
ORG_LABEL = "volary.dev/org"
PROJECT_LABEL = "volary.dev/project"
DOMAIN_LABEL = "volary.dev/domain"
RUN_LABEL = "volary.dev/run"
ACTION_LABEL = "volary.dev/action"
ATTEMPT_LABEL = "volary.dev/attempt"
"""An AttemptId as text: how an object is found again, whatever it is called."""

GRACE_ANNOTATION = "volary.dev/grace"
"""Seconds from SIGTERM to SIGKILL that a task asks for, when it is stopped."""

INPUT_URI_ANNOTATION = "volary.dev/input-uri"
OUTPUT_PREFIX_ANNOTATION = "volary.dev/output-prefix"
RAW_DATA_PREFIX_ANNOTATION = "volary.dev/raw-data-prefix"
RUN_BASE_ANNOTATION = "volary.dev/run-base"

_MAX_NAME = 63 - len("-workers-0-9999-xxxxx")  # operators append to the names of theirs
_MAX_LABEL = 63
_MARK = re.compile(r"-([0-9]+-[0-9a-f]{8})(?:-|$)")


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
    """Which object of a kind; ``namespace`` is "" for what has none."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def name_of(obj: Object) -> Name:
    metadata = obj["metadata"]
    return Name(metadata.get("namespace", ""), metadata["name"])


def name_attempt(assignment: Assignment, namespace_template: str) -> Name:
    """
    Return how the attempt's TaskAction, and its pod or other resource, are called.

    The same attempt always has the same name, so making it twice is harmless, and no other
    ever has it: the end is made of the attempt's identifier.
    """
    key = assignment.key
    tail = mark_attempt(str(assignment.attempt))
    readable = _as_name(f"{key.run.name}-{key.name}")
    if not readable[0].isalpha():  # a Service, which some operators make of it, begins with one
        readable = f"t{readable}"
    name = f"{readable[: _MAX_NAME - len(tail) - 1].rstrip('-')}-{tail}"
    namespace = namespace_template.format(
        org=assignment.org, project=key.run.project, domain=key.run.domain
    )
    return Name(_as_name(namespace)[:_MAX_LABEL].rstrip("-"), name)


def mark_attempt(attempt: str) -> str:
    """Return the end of the attempt's name, which tells it from all others."""
    number = attempt.rpartition("-")[2]
    return f"{number}-{hashlib.sha256(attempt.encode()).hexdigest()[:8]}"


def find_mark(name: str) -> str:
    """Return the mark in the name of an object made for an attempt; "" if it has none."""
    found = _MARK.search(name)
    return found[1] if found else ""


def label_attempt(assignment: Assignment) -> dict[str, str]:
    """Return the labels of everything that is made for the attempt."""
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
    Return what the door goes by when a pod calls: names as they are, and its prefixes.

    The keys of the names are those of the labels, which may hold only a part of a name.
    """
    run = assignment.key.run
    return {
        ORG_LABEL: assignment.org,
        PROJECT_LABEL: run.project,
        DOMAIN_LABEL: run.domain,
        RUN_LABEL: run.name,
        ACTION_LABEL: assignment.key.name,
        ATTEMPT_LABEL: str(assignment.attempt),
        INPUT_URI_ANNOTATION: assignment.input_uri,
        OUTPUT_PREFIX_ANNOTATION: assignment.output_prefix,
        RAW_DATA_PREFIX_ANNOTATION: assignment.raw_data_prefix,
        RUN_BASE_ANNOTATION: assignment.run_base,
    }


def as_label(text: str) -> str:
    """Return what of ``text`` a label's value may hold."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:_MAX_LABEL].strip("-_.")


def _as_name(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-") or "x"
