"""Use cases of roles: custom roles, and bindings of roles to principals."""

import logging
from collections.abc import Sequence
from uuid import UUID

from controlplane.core.callers import Caller, Permission, Subject
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
)
from controlplane.core.identity import (
    MAX_BINDINGS,
    MAX_ROLES,
    Binding,
    NewBinding,
    PrincipalKind,
    Role,
    UserId,
    parse_display,
    parse_group,
    parse_permissions,
    parse_role_name,
    require_version,
    subject_of_account,
    subject_of_user,
)
from controlplane.core.lists import Listing
from controlplane.core.names import parse_domain, parse_project
from controlplane.core.roles import BUILT_IN_ROLES
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import accounts, members, roles as store
from controlplane.store.identity.grants import resolve_caller
from controlplane.store.identity.idempotency import claim_request
from controlplane.store.notify.changes import notify_grants
from controlplane.store.resources.domains import require_domain
from controlplane.store.resources.projects import find_project
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid

log = logging.getLogger(__name__)


class Roles:
    """Use cases of roles; a role is made and bound by callers who hold all its permissions."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[Role]:
        """List the built-in roles, then the custom ones by name."""
        caller.require(Permission.ROLE_READ)
        async with self._database.for_org(caller.org) as tx:
            custom = await store.list_roles(tx)
        built_in = [Role(name=name, permissions=BUILT_IN_ROLES[name]) for name in BUILT_IN_ROLES]
        return [*built_in, *custom]

    async def get(self, caller: Caller, name: str) -> Role:
        """Return a role, built-in or custom; NotFoundError."""
        caller.require(Permission.ROLE_READ)
        if name in BUILT_IN_ROLES:
            return Role(name=name, permissions=BUILT_IN_ROLES[name])
        async with self._database.for_org(caller.org) as tx:
            role = await store.find_role(tx, name)
        if role is None:
            raise NotFoundError("role", name[:80])
        return role

    async def create(
        self, caller: Caller, name: str, permissions: Sequence[str], description: str = ""
    ) -> Role:
        """Create a custom role; idempotent. NotAllowedError, AlreadyExistsError."""
        caller.require(Permission.ROLE_WRITE)
        role = Role(
            name=parse_role_name(name),
            permissions=parse_permissions(permissions),
            description=parse_display(description, "description"),
            version=1,
        )
        caller.require_all(role.permissions)
        async with self._database.for_org(caller.org) as tx:
            if len(await store.list_roles(tx)) >= MAX_ROLES:
                raise ExhaustedError(f"an org has at most {MAX_ROLES} custom roles")
            if await store.create_role(tx, role, self._clock.now()):
                detail = {"permissions": " ".join(sorted(role.permissions))}
                await record(tx, self._clock, caller, "role.create", f"role:{name}", detail=detail)
                return role
            if await store.find_role(tx, name) != role:
                raise AlreadyExistsError(f"role {name} exists; update it or choose another name")
        return role

    async def update(
        self,
        caller: Caller,
        name: str,
        *,
        permissions: Sequence[str] | None = None,
        description: str | None = None,
        version: int | None = None,
    ) -> Role:
        """
        Change a custom role, for all who have it; None leaves a part as it is.

        NotFoundError, NotAllowedError, ConflictError if ``version`` is not the current one.
        """
        caller.require(Permission.ROLE_WRITE)
        parse_role_name(name)
        async with self._database.for_org(caller.org) as tx:
            role = await store.find_role(tx, name, lock=True)
            if role is None:
                raise NotFoundError("role", name)
            require_version(f"role {name}", role.version, version)
            after = role.permissions if permissions is None else parse_permissions(permissions)
            caller.require_all(role.permissions | after)
            shown = role.description
            if description is not None:
                shown = parse_display(description, "description")
            await store.update_role(tx, name, after, shown)
            await notify_grants(tx)
            detail = {
                "added": " ".join(sorted(after - role.permissions)),
                "removed": " ".join(sorted(role.permissions - after)),
            }
            await record(tx, self._clock, caller, "role.update", f"role:{name}", detail=detail)
        return Role(name=name, permissions=after, description=shown, version=role.version + 1)

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a custom role that nothing has; NotFoundError, ConflictError."""
        caller.require(Permission.ROLE_WRITE)
        parse_role_name(name)
        async with self._database.for_org(caller.org) as tx:
            role = await store.find_role(tx, name, lock=True)
            if role is None:
                raise NotFoundError("role", name)
            caller.require_all(role.permissions)
            if await store.is_role_used(tx, name):
                raise ConflictError(
                    f"role {name} is in use; take it from members, bindings, invitations and "
                    "e-mail domains first"
                )
            await store.delete_role(tx, name)
            await record(tx, self._clock, caller, "role.delete", f"role:{name}")

    async def list_bindings(
        self, caller: Caller, listing: Listing
    ) -> tuple[Sequence[Binding], str]:
        """List the bindings in the scopes whose members the caller may read."""
        scopes = caller.list_scopes(Permission.MEMBER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_bindings(tx, scopes, listing)

    async def get_binding(self, caller: Caller, binding_id: UUID) -> Binding:
        """Return a role binding in a scope whose members the caller may read; NotFoundError."""
        caller.require_somewhere(Permission.MEMBER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get_binding(tx, caller, binding_id, Permission.MEMBER_READ)

    async def bind(self, caller: Caller, bound: NewBinding, *, request_id: str = "") -> Binding:
        """
        Bind a role to a user, a service account or a group; idempotent.

        A member administers bindings in the scope in which it may write members, and binds
        only what it holds there. NotFoundError (principal, role, project), NotAllowedError.
        """
        caller.require(Permission.MEMBER_WRITE, bound.project, bound.domain)
        _require_scope(bound)
        now = self._clock.now()
        made = new_uuid(now)
        async with self._database.for_org(caller.org) as tx:
            await require_place(tx, bound.project, bound.domain)
            subjects = await _require_principal(tx, bound)
            permissions = await find_permissions(tx, bound.role, required=True)
            caller.require_all(permissions, bound.project, bound.domain)
            request = {"binding": str(bound)}
            earlier = await claim_request(
                tx, caller.subject, request_id, "bind", request, made=made, now=now
            )
            if earlier is None:
                if await store.count_bindings(tx) >= MAX_BINDINGS:
                    raise ExhaustedError(f"an org has at most {MAX_BINDINGS} role bindings")
                earlier = await store.add_binding(tx, made, bound, by=caller.subject, now=now)
                if earlier == made:
                    await notify_grants(tx, subjects)
                    target = f"{bound.kind.value}:{bound.principal}"
                    await record(
                        tx, self._clock, caller, "role.bind", target, detail=_detail(bound)
                    )
            binding = await store.find_binding(tx, earlier)
        if binding is None:
            raise NotFoundError("role binding", earlier)
        return binding

    async def unbind(self, caller: Caller, binding_id: UUID) -> None:
        """Remove a role binding; NotFoundError, NotAllowedError."""
        caller.require_somewhere(Permission.MEMBER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            binding = await _get_binding(tx, caller, binding_id, Permission.MEMBER_WRITE)
            bound = binding.bound
            permissions = await find_permissions(tx, bound.role)
            caller.require_all(permissions, bound.project, bound.domain)
            await store.remove_binding(tx, binding_id)
            await notify_grants(tx, _subjects(bound))
            target = f"{bound.kind.value}:{bound.principal}"
            await record(tx, self._clock, caller, "role.unbind", target, detail=_detail(bound))


async def _get_binding(
    tx: OrgTx, caller: Caller, binding_id: UUID, permission: Permission
) -> Binding:
    """Return a binding in a scope where the caller has the permission; NotFoundError."""
    binding = await store.find_binding(tx, binding_id)
    if binding is None or not caller.may(permission, binding.bound.project, binding.bound.domain):
        raise NotFoundError("role binding", binding_id)
    return binding


async def find_permissions(
    tx: OrgTx, role: str, *, required: bool = False
) -> frozenset[Permission]:
    """
    Return the permissions of a role, which stays until the transaction ends. NotFoundError.

    "" has none, unless a role is ``required``. Members and accounts are locked before roles.
    """
    if not role and not required:
        return frozenset()
    if role in BUILT_IN_ROLES:
        return BUILT_IN_ROLES[role]
    found = await store.find_role(tx, role, lock=True)
    if found is None:
        there_are = [*BUILT_IN_ROLES, *(each.name for each in await store.list_roles(tx))]
        raise NotFoundError("role", role, there_are=there_are)
    return found.permissions


async def require_all_of(tx: OrgTx, caller: Caller, subject: Subject) -> None:
    """Raise NotAllowedError unless the caller holds all that ``subject`` is granted."""
    other = await resolve_caller(tx, subject)
    for grant in () if other is None else other.grants:
        caller.require_all(grant.permissions, grant.project, grant.domain)


def _require_scope(bound: NewBinding) -> None:
    if bound.domain and not bound.project:
        raise InvalidError("domain: a role is bound in a domain of a project; name the project")
    if bound.project:
        parse_project(bound.project)
    if bound.domain:
        parse_domain(bound.domain)


async def require_place(tx: OrgTx, project: str, domain: str) -> None:
    """Raise NotFoundError unless the project and the domain exist; "" is all of them."""
    if project and await find_project(tx, parse_project(project)) is None:
        raise NotFoundError("project", project)
    if domain:
        await require_domain(tx, parse_domain(domain))


async def _require_principal(tx: OrgTx, bound: NewBinding) -> Sequence[Subject]:
    """Raise unless the principal exists; return the subjects whose grants change, none: many."""
    match bound.kind:
        case PrincipalKind.USER:
            if await members.find_member(tx, UserId(_parse_uuid(bound)), lock=True) is None:
                raise NotFoundError("member", bound.principal)
        case PrincipalKind.SERVICE_ACCOUNT:
            if await accounts.find_account(tx, _parse_uuid(bound), lock=True) is None:
                raise NotFoundError("service account", bound.principal)
        case PrincipalKind.GROUP:
            parse_group(bound.principal)
    return _subjects(bound)


def _subjects(bound: NewBinding) -> Sequence[Subject]:
    match bound.kind:
        case PrincipalKind.USER:
            return [subject_of_user(_parse_uuid(bound))]
        case PrincipalKind.SERVICE_ACCOUNT:
            return [subject_of_account(_parse_uuid(bound))]
        case PrincipalKind.GROUP:
            return []


def _parse_uuid(bound: NewBinding) -> UUID:
    try:
        parsed = UUID(bound.principal)
    except ValueError as error:
        raise InvalidError(f"principal {bound.principal[:80]!r} is not a UUID") from error
    if str(parsed) != bound.principal:
        raise InvalidError(f"principal {bound.principal[:80]!r}: write it as {parsed}")
    return parsed


def _detail(bound: NewBinding) -> dict[str, str]:
    return {"role": bound.role, "project": bound.project, "domain": bound.domain}
