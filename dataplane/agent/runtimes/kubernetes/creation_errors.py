"""
Classify errors of the API server on creating a resource: retry, or fail the attempt.

PURE. One row per error. A missing quota or permission, which an administrator has to grant, and
passing errors are retried, with the reason reported; a fault of the resource itself is the task
author's.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from dataplane.agent.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnauthorizedError,
)
from dataplane.agent.kube.namespaces import (
    ForeignNamespaceError,
    NoNamespaceError,
    UnlabelledNamespaceError,
)
from dataplane.agent.kube.objects import Kind
from dataplane.agent.runtimes.secrets import SecretError
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.blobs.errors import BlobError
from shared.model.reports import Failure, FailureKind

_TOO_LARGE = re.compile(r"too large|larger than max", re.IGNORECASE)
_NO_ACCOUNT = re.compile(r"service ?account \S+ not found|looking up service account")
_NO_RIGHT = re.compile(r"^\S+ is forbidden: User \"|cannot create resource")
_ACCOUNT_TIMEOUT = timedelta(seconds=60)


UNAVAILABLE = "KubernetesUnavailable"
WAITED_FOR = frozenset(
    {
        "AgentForbidden",
        "AgentUnauthorized",
        UNAVAILABLE,
        "NamespaceMissing",
        "NamespaceUnlabelled",
        "QuotaExceeded",
        "ServiceAccountMissing",
    }
)
"""
Pending reasons of retried creations. While one of them is the last reported, no resource
exists.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    reason: str
    message: str
    failure: Failure | None = None  # None: a later creation may succeed
    timeouts: timedelta | None = None  # how long to retry before it counts as the user's mistake


def classify(error: KubeError, kind: Kind) -> Rejected:
    """Return whether to retry after this error of a creation, and what to report."""
    if _TOO_LARGE.search(error.message):
        return _given_up(
            "TooLarge",
            f"{error.message}; the task's resource is too large, make its spec smaller",
        )
    if isinstance(error, ForbiddenError):
        return _forbidden(error)
    if isinstance(error, UnauthorizedError):
        return _waiting(
            "AgentUnauthorized",
            error,
            "the agent's credentials are not accepted; check its service account",
        )
    if isinstance(error, InvalidError):
        return _given_up(error.reason or "Invalid", error.message)
    if isinstance(error, NotFoundError):
        return _nowhere(error, kind)
    if error.passing or isinstance(error, ConflictError):
        return _waiting(UNAVAILABLE, error, "the API server is not available; the agent retries")
    return Rejected(
        reason=error.reason,
        message=error.message,
        failure=Failure(
            code=error.reason or "KubernetesError", kind=FailureKind.SYSTEM, message=str(error)
        ),
    )


def describe(error: BadSpecError | BlobError | SecretError) -> Failure:
    """Return the failure of an attempt whose resource cannot be built."""
    match error:
        case SecretError():
            return error.failure
        case BadSpecError():
            return Failure(
                code=error.code, kind=FailureKind.USER, message=str(error), recoverable=False
            )
        case BlobError():
            return Failure(code="StorageUnavailable", kind=FailureKind.SYSTEM, message=str(error))


def too_large(size: int, at_most: int) -> Rejected:
    """Return the rejection of a resource larger than any API server accepts; it is never sent."""
    return _given_up(
        "TooLarge",
        f"the task's resource has {size} bytes, and Kubernetes accepts {at_most}; pass less "
        "in the task's arguments and environment",
    )


def taken(name: str, kind: Kind) -> Rejected:
    """Return the rejection for a name that another owner's resource already has."""
    message = (
        f"a {kind.name} {name} exists already and is not this attempt's; delete it, and find "
        "out what creates objects with names that Volary uses"
    )
    failure = Failure(code="NameTaken", kind=FailureKind.SYSTEM, message=message)
    return Rejected(reason=failure.code, message=message, failure=failure)


def without_namespace(error: NoNamespaceError) -> Rejected:
    """Return the rejection for a namespace that is missing, or not for tasks."""
    if isinstance(error, ForeignNamespaceError):
        return _given_up("NamespaceForeign", str(error))
    unlabelled = isinstance(error, UnlabelledNamespaceError)
    reason = "NamespaceUnlabelled" if unlabelled else "NamespaceMissing"
    return Rejected(reason=reason, message=str(error))


def _forbidden(error: ForbiddenError) -> Rejected:
    text = error.message
    if "exceeded quota" in text or "status unknown for quota" in text:
        return _waiting(
            "QuotaExceeded",
            error,
            "the namespace's resource quota is used up; the pod is created when quota frees up",
        )
    if _NO_RIGHT.search(text):
        return _waiting("AgentForbidden", error, "grant the agent's service account the right")
    if _NO_ACCOUNT.search(text):
        waiting = _waiting("ServiceAccountMissing", error, "create the service account")
        return Rejected(reason=waiting.reason, message=waiting.message, timeouts=_ACCOUNT_TIMEOUT)
    if "being terminated" in text:
        return Rejected(
            reason="NamespaceTerminating",
            message=text,
            failure=Failure(code="NamespaceTerminating", kind=FailureKind.SYSTEM, message=text),
        )
    return _given_up("Forbidden", text)  # pod security, limit ranges, webhooks


def _nowhere(error: NotFoundError, kind: Kind) -> Rejected:
    if "namespace" in error.message:
        return _waiting("NamespaceMissing", error, "create it, or let the agent do so")
    of_group = f"{kind.plural}.{kind.group}"
    return _given_up(
        "UnsupportedTaskType",
        f"this cluster has no {of_group}; install the operator that provides it",
    )


def give_up(rejection: Rejected) -> Failure:
    """Return the failure to report when the retry timeout has expired."""
    return Failure(
        code=rejection.reason, kind=FailureKind.USER, message=rejection.message, recoverable=False
    )


def _waiting(reason: str, error: KubeError, remedy: str) -> Rejected:
    return Rejected(reason=reason, message=f"{error.message}; {remedy}")


def _given_up(code: str, message: str) -> Rejected:
    failure = Failure(code=code, kind=FailureKind.USER, message=message, recoverable=False)
    return Rejected(reason=code, message=message, failure=failure)
