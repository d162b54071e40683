"""Callers of the API: subject, org and permissions."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from controlplane.core.errors import NotAllowedError
from shared.model.ids import OrgName

Subject = NewType("Subject", str)


class Permission(StrEnum):
    """Permissions that use cases require; alphabetical."""

    ACTION_ENQUEUE = "action:enqueue"
    ACTION_READ = "action:read"
    BLOB_READ = "blob:read"
    BLOB_WRITE = "blob:write"
    CLUSTER_READ = "cluster:read"
    CLUSTER_WRITE = "cluster:write"
    PROJECT_READ = "project:read"
    PROJECT_WRITE = "project:write"
    QUEUE_READ = "queue:read"
    QUEUE_WRITE = "queue:write"
    RUN_ABORT = "run:abort"
    RUN_CREATE = "run:create"
    RUN_READ = "run:read"
    RUN_SIGNAL = "run:signal"
    TASK_DEPLOY = "task:deploy"
    TASK_READ = "task:read"


EVERYTHING = frozenset(Permission)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated subject, the org it speaks for, and what it may do there."""

    subject: Subject
    org: OrgName
    name: str
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Raise NotAllowedError unless the caller holds ``permission``."""
        if permission not in self.permissions:
            raise NotAllowedError(
                f"{self.subject} lacks the permission {permission} in org {self.org}"
            )


ANONYMOUS = Caller(subject=Subject(""), org=OrgName(""), name="", permissions=frozenset())
"""Caller of RPCs that need no authentication."""
