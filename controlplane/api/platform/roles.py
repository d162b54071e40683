"""RoleService and RoleBindingService: sets of permissions, and who has them where."""

from controlplane.api.platform.conventions import (
    ListCall,
    equals,
    parse_id,
    parse_mask,
    parse_version,
    render_time,
)
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError
from controlplane.core.identity import Binding, NewBinding, PrincipalKind, Role
from controlplane.usecases.identity.roles import Roles
from shared.idl.platform.v1 import role_pb2 as pb

_KINDS = {
    "user_id": PrincipalKind.USER,
    "service_account_id": PrincipalKind.SERVICE_ACCOUNT,
    "group": PrincipalKind.GROUP,
}


class RoleService:
    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def create_role(
        self, caller: Caller, request: pb.CreateRoleRequest
    ) -> pb.CreateRoleResponse:
        role = await self._roles.create(
            caller, request.name, request.permissions, request.description
        )
        return pb.CreateRoleResponse(role=_render(role))

    async def get_role(self, caller: Caller, request: pb.GetRoleRequest) -> pb.GetRoleResponse:
        return pb.GetRoleResponse(role=_render(await self._roles.get(caller, request.name)))

    async def list_roles(
        self, caller: Caller, request: pb.ListRolesRequest
    ) -> pb.ListRolesResponse:
        call = ListCall(caller, request)
        roles = list(enumerate(await self._roles.list(caller)))
        page, token = call.slice(
            roles, lambda each: f"0{each[0]}" if each[1].is_built_in else f"1{each[1].name}"
        )
        return pb.ListRolesResponse(
            roles=[_render(role) for _, role in page], next_page_token=token
        )

    async def update_role(
        self, caller: Caller, request: pb.UpdateRoleRequest
    ) -> pb.UpdateRoleResponse:
        paths = parse_mask(request.update_mask, ["permissions", "description"])
        role = await self._roles.update(
            caller,
            request.role.name,
            permissions=request.role.permissions if "permissions" in paths else None,
            description=request.role.description if "description" in paths else None,
            version=parse_version(request.role.version),
        )
        return pb.UpdateRoleResponse(role=_render(role))

    async def delete_role(
        self, caller: Caller, request: pb.DeleteRoleRequest
    ) -> pb.DeleteRoleResponse:
        await self._roles.delete(caller, request.name)
        return pb.DeleteRoleResponse()

    async def list_permissions(
        self, caller: Caller, request: pb.ListPermissionsRequest
    ) -> pb.ListPermissionsResponse:
        call = ListCall(caller, request)
        page, token = call.slice([each.value for each in Permission], str)
        return pb.ListPermissionsResponse(permissions=page, next_page_token=token)


class RoleBindingService:
    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def create_role_binding(
        self, caller: Caller, request: pb.CreateRoleBindingRequest
    ) -> pb.CreateRoleBindingResponse:
        kind, principal = _parse_principal(request.principal)
        bound = NewBinding(
            kind=kind,
            principal=principal,
            role=request.role,
            project=request.project,
            domain=request.domain,
        )
        binding = await self._roles.bind(caller, bound, request_id=request.request_id)
        return pb.CreateRoleBindingResponse(role_binding=_render_binding(binding))

    async def get_role_binding(
        self, caller: Caller, request: pb.GetRoleBindingRequest
    ) -> pb.GetRoleBindingResponse:
        binding = await self._roles.get_binding(caller, parse_id(request.id, "id"))
        return pb.GetRoleBindingResponse(role_binding=_render_binding(binding))

    async def list_role_bindings(
        self, caller: Caller, request: pb.ListRoleBindingsRequest
    ) -> pb.ListRoleBindingsResponse:
        filters = [equals("role", request.role), equals("project", request.project)]
        if request.HasField("principal"):
            kind, principal = _parse_principal(request.principal)
            filters += [equals("principal_kind", kind), equals("principal_id", principal)]
        call = ListCall(caller, request, filters)
        found, token = await self._roles.list_bindings(caller, call.listing)
        return pb.ListRoleBindingsResponse(
            role_bindings=map(_render_binding, found), next_page_token=call.next_token(token)
        )

    async def delete_role_binding(
        self, caller: Caller, request: pb.DeleteRoleBindingRequest
    ) -> pb.DeleteRoleBindingResponse:
        await self._roles.unbind(caller, parse_id(request.id, "id"))
        return pb.DeleteRoleBindingResponse()


def _parse_principal(message: pb.Principal) -> tuple[PrincipalKind, str]:
    kind = message.WhichOneof("kind")
    value = str(getattr(message, kind)) if kind else ""
    if not kind or not value:
        raise InvalidError(f"principal: name one of {', '.join(_KINDS)}")
    if kind != "group":
        parse_id(value, f"principal.{kind}")
    return _KINDS[kind], value


def _render(role: Role) -> pb.Role:
    return pb.Role(
        name=role.name,
        description=role.description,
        permissions=sorted(role.permissions),
        built_in=role.is_built_in,
        version=role.version,
    )


def _render_binding(binding: Binding) -> pb.RoleBinding:
    bound = binding.bound
    principal = pb.Principal()
    for field, kind in _KINDS.items():
        if kind is bound.kind:
            setattr(principal, field, bound.principal)
    return pb.RoleBinding(
        id=str(binding.id),
        principal=principal,
        role=bound.role,
        project=bound.project,
        domain=bound.domain,
        created_by=binding.created_by,
        created_at=render_time(binding.created_at),
    )
