"""Built-in roles, which every org has; an org's custom roles are sets of permissions as well."""

from collections.abc import Mapping

from controlplane.core.callers import EVERYTHING, Permission

OWNER = "owner"
ADMIN = "admin"
CONTRIBUTOR = "contributor"
VIEWER = "viewer"

_VIEWER = frozenset({
    Permission.ACTION_READ,
    Permission.ARTIFACT_READ,
    Permission.BLOB_READ,
    Permission.CLUSTER_READ,
    Permission.MEMBER_READ,
    Permission.NOTIFICATION_READ,
    Permission.ORG_READ,
    Permission.PROJECT_READ,
    Permission.QUEUE_READ,
    Permission.QUOTA_READ,
    Permission.ROLE_READ,
    Permission.RUN_READ,
    Permission.SECRET_READ,
    Permission.SETTINGS_READ,
    Permission.TASK_READ,
    Permission.USAGE_READ,
})  # fmt: skip

_CONTRIBUTOR = _VIEWER | {
    Permission.ACTION_ENQUEUE,
    Permission.ARTIFACT_WRITE,
    Permission.BLOB_WRITE,
    Permission.RUN_ABORT,
    Permission.RUN_CREATE,
    Permission.RUN_SIGNAL,
    Permission.SECRET_WRITE,
    Permission.TASK_DEPLOY,
}

# An identity provider can log anyone in, owners too: only owners choose one.
_ADMIN = EVERYTHING - {Permission.IDENTITY_PROVIDER_WRITE, Permission.ORG_WRITE}

BUILT_IN_ROLES: Mapping[str, frozenset[Permission]] = {
    OWNER: EVERYTHING,
    ADMIN: _ADMIN,
    CONTRIBUTOR: _CONTRIBUTOR,
    VIEWER: _VIEWER,
}
"""Permissions of each built-in role. A role that is bound in a project has no effect outside it."""
