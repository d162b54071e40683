"""Roles, bindings and invitations: who may do what, and how people join."""

from datetime import datetime, timedelta

import pytest

from controlplane.core.callers import Permission
from controlplane.core.roles import ADMIN, CONTRIBUTOR, VIEWER
from tests.integration.api.client import PROJECT
from tests.integration.platform.world import THEIRS, RefusedError, World

READER = {"name": "reader", "permissions": ["run:read"], "description": "Reads runs"}


async def test_role_is_created_once_changed_by_mask_and_deleted(world: World) -> None:
    made = (await world.ada.call("RoleService/CreateRole", **READER))["role"]
    assert (await world.ada.call("RoleService/CreateRole", **READER))["role"] == made
    changed = await world.ada.call(
        "RoleService/UpdateRole",
        role={"name": "reader", "permissions": ["run:read", "task:read"], "version": "1"},
        updateMask="permissions",
    )
    assert changed["role"] == {
        **READER,
        "permissions": ["run:read", "task:read"],
        "version": "2",
    }
    with pytest.raises(RefusedError, match="role reader exists; update it") as taken:
        await world.ada.call("RoleService/CreateRole", **READER)
    assert taken.value.code == "already_exists"
    await world.ada.call("RoleService/DeleteRole", name="reader")
    with pytest.raises(RefusedError, match="role reader not found"):
        await world.ada.call("RoleService/GetRole", name="reader")


async def test_roles_are_listed_in_pages_with_the_built_in_ones_first(world: World) -> None:
    for name in ("b", "a"):
        await world.ada.call("RoleService/CreateRole", name=name, permissions=["run:read"])
    seen, token = [], ""
    while True:
        page = await world.ada.call("RoleService/ListRoles", pageSize=2, pageToken=token)
        seen += [(each["name"], each.get("builtIn", False)) for each in page["roles"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    built_in = [(name, True) for name in ("owner", "admin", "contributor", "viewer")]
    assert seen == [*built_in, ("a", False), ("b", False)]


async def test_permissions_are_listed_for_everyone(world: World) -> None:
    bob = await world.join("bob", "")
    listed = await bob.call("RoleService/ListPermissions", pageSize=200)
    assert listed["permissions"] == [each.value for each in Permission]


async def test_binding_is_created_once_read_listed_and_deleted(world: World) -> None:
    bob = await world.join("bob", "")
    request = {"principal": {"userId": bob.id}, "role": CONTRIBUTOR, "project": PROJECT}
    made = (await world.ada.call("RoleBindingService/CreateRoleBinding", **request))["roleBinding"]
    again = await world.ada.call("RoleBindingService/CreateRoleBinding", **request)
    await world.ada.call(
        "RoleBindingService/CreateRoleBinding", principal={"group": "g"}, role=VIEWER
    )
    listed = await world.ada.call(
        "RoleBindingService/ListRoleBindings", principal={"userId": bob.id}
    )
    assert again["roleBinding"] == made
    assert made | request == made
    assert listed["roleBindings"] == [made]
    assert (await world.ada.call("RoleBindingService/GetRoleBinding", id=made["id"])) == {
        "roleBinding": made
    }
    await world.ada.call("RoleBindingService/DeleteRoleBinding", id=made["id"])
    with pytest.raises(RefusedError, match="not found"):
        await world.ada.call("RoleBindingService/GetRoleBinding", id=made["id"])


@pytest.mark.parametrize("principal", [{}, {"userId": "x"}, {"group": ""}, {"group": "a\nb"}])
async def test_malformed_principal_is_an_invalid_argument(
    world: World, principal: dict[str, str]
) -> None:
    with pytest.raises(RefusedError) as refused:
        await world.ada.call(
            "RoleBindingService/CreateRoleBinding", principal=principal, role=VIEWER
        )
    assert refused.value.code == "invalid_argument"


async def test_invited_person_joins_once_by_the_link_that_is_shown_once(world: World) -> None:
    request = {"role": VIEWER, "requestId": "r1", "lifetime": "3600s"}
    made = await world.ada.call("InvitationService/CreateInvitation", **request)
    again = await world.ada.call("InvitationService/CreateInvitation", **request)
    invitation, token = made["invitation"], made["token"]
    life = datetime.fromisoformat(invitation["expiresAt"]) - datetime.fromisoformat(
        invitation["createdAt"]
    )
    assert life == timedelta(hours=1)
    assert made["link"] == f"http://public/join?invitation={token}"
    assert again == {"invitation": invitation}

    joined = await world.eve.call("InvitationService/AcceptInvitation", token=token)
    assert joined == {"org": "acme"}
    assert await world.eve.call("InvitationService/AcceptInvitation", token=token) == joined
    bob = await world.join("bob", VIEWER, THEIRS)
    with pytest.raises(RefusedError, match="used, expired or withdrawn") as refused:
        await bob.call("InvitationService/AcceptInvitation", token=token)
    assert refused.value.code == "not_found"
    listed = await world.ada.call("InvitationService/ListInvitations")
    assert [each["usedBy"] for each in listed["invitations"]] == [world.eve.id]
    assert token not in str(listed)


async def test_withdrawn_invitation_is_dead(world: World) -> None:
    made = await world.ada.call("InvitationService/CreateInvitation", role=VIEWER)
    await world.ada.call("InvitationService/WithdrawInvitation", id=made["invitation"]["id"])
    with pytest.raises(RefusedError, match="used, expired or withdrawn"):
        await world.eve.call("InvitationService/AcceptInvitation", token=made["token"])


async def test_admin_invites_no_owner(world: World) -> None:
    admin = await world.join("admin", ADMIN)
    with pytest.raises(RefusedError, match="lacks identity_provider:write, org:write"):
        await admin.call("InvitationService/CreateInvitation", role="owner")


async def test_email_domain_of_the_caller_is_allowed_and_forbidden(world: World) -> None:
    await world.ada.call("EmailDomainService/AllowEmailDomain", name="ada.example", role=VIEWER)
    with pytest.raises(RefusedError, match=r"a verified address in eve\.example"):
        await world.ada.call("EmailDomainService/AllowEmailDomain", name="eve.example", role="")
    listed = await world.ada.call("EmailDomainService/ListEmailDomains")
    assert [(each["name"], each["role"]) for each in listed["emailDomains"]] == [
        ("ada.example", VIEWER)
    ]
    await world.ada.call("EmailDomainService/ForbidEmailDomain", name="ada.example")
    assert await world.ada.call("EmailDomainService/ListEmailDomains") == {}


@pytest.mark.parametrize("service", ["InvitationService/CreateInvitation", "binding"])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"project": "no-such"}, "project no-such not found"),
        ({"project": PROJECT, "domain": "no-such"}, "domain no-such not found"),
    ],
)
async def test_role_in_a_place_that_does_not_exist_is_refused_by_its_name(
    world: World, service: str, place: dict[str, str], said: str
) -> None:
    request: dict[str, object] = {"role": VIEWER, **place}
    if service == "binding":
        service = "RoleBindingService/CreateRoleBinding"
        request["principal"] = {"group": "g"}
    with pytest.raises(RefusedError, match=said) as refused:
        await world.ada.call(service, **request)
    assert refused.value.code == "not_found"
