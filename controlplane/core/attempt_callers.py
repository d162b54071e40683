"""
Callers that are tasks: their subject, and what the attempt of a task may do.

An attempt acts from the acceptance of its lease until it ends, is stopped or loses the lease.
Its credential is the lease. Retries are the same subject, so that they repeat calls as the same caller.
"""

from dataclasses import dataclass
from uuid import UUID

from controlplane.core.callers import Caller, Credential, Grant, OwnAttempt, Permission, Subject
from controlplane.core.credentials import CredentialKind
from shared.model.ids import ActionId, ActionKey, AttemptId, LeaseId, OrgName

CLIENT_ID = "task"
"""Client of access tokens that are issued to attempts."""

_PREFIX = "attempt:"
_IN_OWN_DOMAIN = frozenset({
    Permission.ACTION_ENQUEUE,
    Permission.ACTION_READ,
    Permission.ARTIFACT_READ,
    Permission.ARTIFACT_WRITE,
    Permission.BLOB_READ,
    Permission.BLOB_WRITE,
    Permission.PROJECT_READ,
    Permission.RUN_ABORT,
    Permission.RUN_CREATE,
    Permission.RUN_READ,
    Permission.RUN_SIGNAL,
    Permission.TASK_DEPLOY,
})  # fmt: skip
_IN_OWN_PROJECT = frozenset({Permission.TASK_READ})


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that a cluster has accepted and was not asked to stop."""

    key: ActionKey
    id: AttemptId
    lease: LeaseId


def subject_of(action: ActionId) -> Subject:
    return Subject(f"{_PREFIX}{action}")


def credential_of(lease: LeaseId) -> Credential:
    return Credential(CredentialKind.ATTEMPT, str(lease))


def parse_lease(subject: Subject, credential_id: str) -> tuple[ActionId, LeaseId] | None:
    """Return the action and lease that an attempt's access token names; None if it names none."""
    try:
        action = UUID(subject.removeprefix(_PREFIX)) if subject.startswith(_PREFIX) else None
        lease = UUID(credential_id)
    except ValueError:
        return None
    return None if action is None else (ActionId(action), LeaseId(lease))


def make_caller(org: OrgName, attempt: RunningAttempt) -> Caller:
    """Return the caller that a running attempt is, without its credential."""
    run = attempt.key.run
    return Caller(
        subject=subject_of(attempt.id.action),
        org=org,
        name=f"task {attempt.key}",
        grants=(
            Grant(_IN_OWN_DOMAIN, run.project, run.domain),
            Grant(_IN_OWN_PROJECT, run.project),
        ),
        attempt=OwnAttempt(attempt.key, attempt.id),
    )
