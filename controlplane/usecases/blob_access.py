"""
Decides which URIs a caller may name, and which of an action's URIs it may read.

Pods and users write those URIs, so they are not trusted: nothing outside the caller's org is
read, written or signed for, and nothing of a project in which the caller lacks the permission.
"""

from controlplane.core import layout
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError, NotReadyError
from shared.model.ids import ActionKey, DomainName, ProjectName, RunKey


class BlobAccess:
    """Checks URIs of one store; ``base`` is the prefix below which every org's data lies."""

    def __init__(self, base: str) -> None:
        self._base = base

    def is_own(self, caller: Caller, uri: str) -> bool:
        """Return whether ``uri`` lies below the prefix of the caller's org."""
        return layout.belongs_to(self._base, caller.org, uri)

    def may(self, caller: Caller, permission: Permission, uri: str) -> bool:
        """Return whether the caller holds ``permission`` where ``uri`` lies."""
        return self.is_own(caller, uri) and caller.may(
            permission, *layout.scope_of(self._base, caller.org, uri)
        )

    def is_in(self, caller: Caller, uri: str, project: ProjectName, domain: DomainName) -> bool:
        """Return whether ``uri`` lies in this project and domain of the caller's org."""
        return self.is_own(caller, uri) and (
            layout.scope_of(self._base, caller.org, uri) == (project, domain)
        )

    def run_of(self, caller: Caller, uri: str) -> RunKey | None:
        """Return the run of the caller's org in whose data ``uri`` lies; it need not exist."""
        return layout.run_of(self._base, caller.org, uri) if self.is_own(caller, uri) else None

    def require_readable(self, caller: Caller, uri: str, field: str) -> None:
        """
        Raise unless ``uri`` is empty or the caller may read it.

        InvalidError, naming ``field``: outside the org. NotFoundError: in a project that the
        caller may not read.
        """
        self._require(caller, Permission.BLOB_READ, uri, field)

    def require_writable(self, caller: Caller, prefix: str, field: str) -> None:
        """Raise like ``require_readable`` unless the caller may write below ``prefix``."""
        self._require(caller, Permission.BLOB_WRITE, prefix and f"{prefix.rstrip('/')}/", field)

    def require_raw_data_prefix(self, caller: Caller, prefix: str, field: str) -> None:
        """Raise like ``require_writable``, but allow prefixes outside the store's base."""
        if layout.is_of_another_org(self._base, caller.org, prefix):
            raise InvalidError(self._describe_outside(caller, field))
        if self.is_own(caller, f"{prefix.rstrip('/')}/"):
            self.require_writable(caller, prefix, field)

    def require_location(self, caller: Caller, uri: str) -> None:
        """Raise like ``require_writable`` unless the caller may upload to ``uri``."""
        self._require(caller, Permission.BLOB_WRITE, uri, uri)

    def require_of_action(self, caller: Caller, uri: str, what: str, action: ActionKey) -> None:
        """
        Raise NotReadyError unless the caller may read ``uri``, which is the action's ``what``.

        A caller who may read an action may read its data, if that lies in the action's own
        project and domain; elsewhere they need the permission to read blobs there.
        """
        self.require_of(caller, uri, f"{what} {action}", action.run.project, action.run.domain)

    def require_of(
        self, caller: Caller, uri: str, what: str, project: ProjectName, domain: DomainName
    ) -> None:
        """Raise as ``require_of_action`` does, for what belongs to a project and domain."""
        if self.is_own(caller, uri) and (
            layout.scope_of(self._base, caller.org, uri) == (project, domain)
            or self.may(caller, Permission.BLOB_READ, uri)
        ):
            return
        raise NotReadyError(
            f"the {what} lie at {uri}, outside {self._org_prefix(caller)} or in a project"
            " that you may not read; read them there with your own credentials"
        )

    def _require(self, caller: Caller, permission: Permission, uri: str, field: str) -> None:
        if not uri:
            return
        if not self.is_own(caller, uri):
            raise InvalidError(self._describe_outside(caller, field))
        caller.require(permission, *layout.scope_of(self._base, caller.org, uri))

    def _describe_outside(self, caller: Caller, field: str) -> str:
        return (
            f"{field}: must lie below {self._org_prefix(caller)}/, where this org's data goes,"
            " without '..', backslashes or percent-encoded separators and dots"
        )

    def _org_prefix(self, caller: Caller) -> str:
        return layout.org_base(self._base, caller.org)
