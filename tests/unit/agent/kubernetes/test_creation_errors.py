"""A row for every answer with which the API server does not take a resource."""

import pytest

from dataplane.agent.kube.errors import (
    BusyError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnauthorizedError,
    UnreachableError,
)
from dataplane.agent.kube.namespaces import (
    ForeignNamespaceError,
    NoNamespaceError,
    UnlabelledNamespaceError,
)
from dataplane.agent.kube.objects import POD, Kind
from dataplane.agent.runtimes.kubernetes import creation_errors
from shared.model.reports import FailureKind

SPARK = Kind("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication")


def forbidden(message: str) -> KubeError:
    return ForbiddenError(403, "Forbidden", message)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            forbidden(
                'pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=5, '
                "limited: pods=5"
            ),
            "QuotaExceeded",
        ),
        (
            forbidden('pods "a" is forbidden: status unknown for quota: few, resources: pods'),
            "QuotaExceeded",
        ),
        (
            forbidden(
                'pods is forbidden: User "system:serviceaccount:volary:agent" cannot create '
                'resource "pods" in API group "" in the namespace "p"'
            ),
            "AgentForbidden",
        ),
        (
            forbidden(
                'pods "a" is forbidden: error looking up service account p/x: serviceaccount "x" '
                "not found"
            ),
            "ServiceAccountMissing",
        ),
        (UnauthorizedError(401, "Unauthorized", "Unauthorized"), "AgentUnauthorized"),
        (NotFoundError(404, "NotFound", 'namespaces "p" not found'), "NamespaceMissing"),
        (UnreachableError("no answer"), "KubernetesUnavailable"),
        (BusyError(429, "TooManyRequests", "later"), "KubernetesUnavailable"),
        (
            KubeError(500, "InternalError", 'failed calling webhook "x": connection refused'),
            "KubernetesUnavailable",
        ),
        (ConflictError(409, "Conflict", "the object has been modified"), "KubernetesUnavailable"),
    ],
    ids=[
        "quota", "quota-unknown", "role", "account", "credentials", "namespace", "unreachable",
        "busy", "webhook-away", "conflict",
    ],
)  # fmt: skip
def test_creation_waits_for_transient_errors(error: KubeError, reason: str) -> None:
    rejection = creation_errors.classify(error, POD)

    assert rejection.reason == reason
    assert rejection.reason in creation_errors.WAITED_FOR
    assert rejection.failure is None
    assert error.message in rejection.message


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            forbidden('pods "a" is forbidden: violates PodSecurity "restricted:latest"'),
            POD,
            "Forbidden",
        ),
        (
            forbidden('pods "a" is forbidden: failed quota: q: must specify limits.cpu'),
            POD,
            "Forbidden",
        ),
        (forbidden('admission webhook "x" denied the request: no'), POD, "Forbidden"),
        (InvalidError(422, "Invalid", 'Pod "a" is invalid: spec'), POD, "Invalid"),
        (InvalidError(400, "BadRequest", "strict decoding error"), POD, "BadRequest"),
        (InvalidError(413, "RequestEntityTooLarge", "Request entity too large"), POD, "TooLarge"),
        (KubeError(500, "", "etcdserver: request is too large"), POD, "TooLarge"),
        (
            NotFoundError(404, "NotFound", "the server could not find the requested resource"),
            SPARK,
            "UnsupportedTaskType",
        ),
    ],
    ids=[
        "pod-security", "quota-demands", "webhook", "invalid", "bad-request", "large", "etcd",
        "no-operator",
    ],
)  # fmt: skip
def test_invalid_resource_is_user_failure(error: KubeError, kind: Kind, code: str) -> None:
    failure = creation_errors.classify(error, kind).failure

    assert failure is not None
    assert (failure.code, failure.kind) == (code, FailureKind.USER)
    assert not failure.recoverable


def test_terminating_namespace_is_system_failure() -> None:
    error = forbidden('pods "a" is forbidden: namespace p is being terminated')
    failure = creation_errors.classify(error, POD).failure

    assert failure is not None
    assert (failure.code, failure.kind) == ("NamespaceTerminating", FailureKind.SYSTEM)


def test_creation_waits_a_while_for_missing_service_account() -> None:
    rejection = creation_errors.classify(forbidden('serviceaccount "x" not found'), POD)
    assert rejection.timeouts is not None

    failure = creation_errors.give_up(rejection)
    assert (failure.code, failure.recoverable) == ("ServiceAccountMissing", False)


def test_creation_waits_for_unlabelled_namespace_and_fails_for_foreign_one() -> None:
    for error, reason in (
        (NoNamespaceError("create it"), "NamespaceMissing"),
        (UnlabelledNamespaceError("label it"), "NamespaceUnlabelled"),
    ):
        rejection = creation_errors.without_namespace(error)
        assert (rejection.reason, rejection.message) == (reason, str(error))
        assert rejection.failure is None
        assert reason in creation_errors.WAITED_FOR  # else the next agent takes the pod for made

    failure = creation_errors.without_namespace(ForeignNamespaceError("not yours")).failure
    assert failure is not None
    assert (failure.code, failure.kind) == ("NamespaceForeign", FailureKind.USER)
    assert not failure.recoverable
