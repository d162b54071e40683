"""Callers of the API: subject, org, and what they were granted where."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from controlplane.core.errors import NotAllowedError, NotFoundError
from shared.model.ids import ActionKey, AttemptId, OrgName

Subject = NewType("Subject", str)
"""
Who acts: "anonymous", "user:<uuid>", "serviceaccount:<uuid>", "attempt:<uuid of its action>", "agent:<cluster>",
or "operator:<login>" for commands that go straight to the database.
"""


class Permission(StrEnum):
    """Permissions that use cases require; alphabetical, ``noun:verb``."""

    ACTION_ENQUEUE = "action:enqueue"
    ACTION_READ = "action:read"
    ARTIFACT_READ = "artifact:read"
    ARTIFACT_WRITE = "artifact:write"
    AUDIT_READ = "audit:read"
    BLOB_READ = "blob:read"
    BLOB_WRITE = "blob:write"
    CLUSTER_READ = "cluster:read"
    CLUSTER_WRITE = "cluster:write"
    IDENTITY_PROVIDER_READ = "identity_provider:read"
    IDENTITY_PROVIDER_WRITE = "identity_provider:write"
    MEMBER_READ = "member:read"
    MEMBER_WRITE = "member:write"
    NOTIFICATION_READ = "notification:read"
    NOTIFICATION_WRITE = "notification:write"
    ORG_READ = "org:read"
    ORG_WRITE = "org:write"
    PROJECT_READ = "project:read"
    PROJECT_WRITE = "project:write"
    QUEUE_READ = "queue:read"
    QUEUE_WRITE = "queue:write"
    QUOTA_READ = "quota:read"
    QUOTA_WRITE = "quota:write"
    ROLE_READ = "role:read"
    ROLE_WRITE = "role:write"
    RUN_ABORT = "run:abort"
    RUN_CREATE = "run:create"
    RUN_PURGE = "run:purge"
    RUN_READ = "run:read"
    RUN_SIGNAL = "run:signal"
    SECRET_READ = "secret:read"  # noqa: S105 — names and types; no permission reads a value
    SECRET_WRITE = "secret:write"  # noqa: S105
    SERVICE_ACCOUNT_READ = "service_account:read"
    SERVICE_ACCOUNT_WRITE = "service_account:write"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    TASK_DEPLOY = "task:deploy"
    TASK_READ = "task:read"
    USAGE_READ = "usage:read"

    @property
    def read(self) -> "Permission":
        """The permission to read the same kind of thing."""
        return Permission(f"{self.partition(':')[0]}:read")


EVERYTHING = frozenset(Permission)

Scopes = frozenset[tuple[str, str]]
"""Pairs of project and domain; a domain of "" stands for all domains of the project."""


def in_scopes(scopes: Scopes | None, project: str, domain: str) -> bool:
    """Return whether a thing of this project and domain lies in ``scopes``; None takes all."""
    return scopes is None or (project, "") in scopes or (project, domain) in scopes


@dataclass(frozen=True, slots=True)
class Grant:
    """
    Permissions in the whole org, in one project, or in one domain of a project ("": all).

    An org's things without a project (queues, clusters, members) need a grant in the whole org.
    """

    permissions: frozenset[Permission]
    project: str = ""
    domain: str = ""

    def __post_init__(self) -> None:
        if self.domain and not self.project:
            raise ValueError("a grant in a domain names the domain's project")

    def covers(self, permission: Permission, project: str, domain: str) -> bool:
        """Return whether this grants ``permission`` in all of the scope."""
        return (
            permission in self.permissions
            and (not self.project or self.project == project)
            and (not self.domain or self.domain == domain)
        )


@dataclass(frozen=True, slots=True)
class Credential:
    """
    The credential of a call: what is revoked, and when it ends.

    ``id`` of an access token: its family; of an API key or a browser session: its own.
    """

    kind: str
    id: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OwnAttempt:
    """The running attempt that a task's caller is; it acts on its own run only."""

    action: ActionKey
    id: AttemptId


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    An authenticated subject, the org it speaks for, and what it may do there.

    ``peer`` ("address:port") and ``request_id`` are those of the call, for the audit log.
    ``attempt``: the caller is a task; ``shared.model.task_calls`` has what it may call.
    """

    subject: Subject
    org: OrgName
    name: str
    email: str = ""
    grants: tuple[Grant, ...] = ()
    credential: Credential | None = None
    attempt: OwnAttempt | None = None
    peer: str = ""
    request_id: str = ""

    def may(self, permission: Permission, project: str = "", domain: str = "") -> bool:
        """Return whether the caller holds ``permission`` in the scope; "" means all of it."""
        return any(grant.covers(permission, project, domain) for grant in self.grants)

    def require(self, permission: Permission, project: str = "", domain: str = "") -> None:
        """
        Raise unless the caller holds ``permission`` in the scope.

        NotFoundError where the caller may not even read: the project does not exist for them.
        Otherwise NotAllowedError. The answer depends on the grants only, so it tells nothing
        of what exists.
        """
        for grant in self.grants:
            if grant.covers(permission, project, domain):
                return
        if project and not self.may(permission.read, project, domain):
            raise NotFoundError("project", f"{project}/{domain}" if domain else project)
        raise NotAllowedError(
            f"{self.subject} lacks the permission {permission} in {self._place(project, domain)}"
        )

    def require_part(self, permission: Permission, project: str) -> None:
        """Raise like ``require``, unless the caller holds ``permission`` in one domain at least."""
        for grant in self.grants:
            if permission in grant.permissions and grant.project in ("", project):
                return
        self.require(permission, project)

    def require_somewhere(self, permission: Permission) -> None:
        """Raise NotAllowedError unless the caller holds ``permission`` in any scope."""
        for grant in self.grants:
            if permission in grant.permissions:
                return
        raise NotAllowedError(f"{self.subject} lacks the permission {permission} in org {self.org}")

    def list_scopes(self, permission: Permission) -> Scopes | None:
        """Return where the caller holds ``permission``; None for the whole org."""
        having = [grant for grant in self.grants if permission in grant.permissions]
        if any(not grant.project for grant in having):
            return None
        return frozenset((grant.project, grant.domain) for grant in having)

    def require_all(
        self, permissions: Iterable[Permission], project: str = "", domain: str = ""
    ) -> None:
        """Raise NotAllowedError, unless the caller holds all of ``permissions``, naming what is missing."""
        missing = sorted(each for each in permissions if not self.may(each, project, domain))
        if missing:
            raise NotAllowedError(
                f"{self.subject} lacks {', '.join(missing)} in {self._place(project, domain)}, "
                "and cannot grant or take away what it lacks"
            )

    def _place(self, project: str, domain: str) -> str:
        if not project:
            return f"org {self.org}"
        return f"project {project}" + (f", domain {domain}" if domain else "")


def org_wide(permissions: Iterable[Permission]) -> tuple[Grant, ...]:
    """Return grants of ``permissions`` in the whole org."""
    return (Grant(frozenset(permissions)),)


ANONYMOUS = Caller(subject=Subject(""), org=OrgName(""), name="")
"""Caller of RPCs that need no authentication."""
