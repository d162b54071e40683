"""Identity providers: configured by owners, with a secret that no answer shows."""

from typing import Any

import pytest

from controlplane.core.roles import ADMIN
from tests.integration.platform.world import RefusedError, World

ACME_SSO: dict[str, Any] = {
    "name": "Acme SSO",
    "issuer": "https://login.acme.example",
    "clientId": "volary",
    "groupsClaim": "groups",
    "emailDomains": ["acme.example"],
    "role": "viewer",
}


async def create(world: World, **request: Any) -> Any:
    made = await world.ada.call(
        "IdentityProviderService/CreateIdentityProvider",
        clientSecret="canary-5e1d",
        **{**ACME_SSO, **request},
    )
    return made["identityProvider"]


async def test_provider_is_created_once_and_its_secret_is_write_only(world: World) -> None:
    made = await create(world, requestId="r1")
    assert await create(world, requestId="r1") == made
    assert made | ACME_SSO == made
    assert made["callbackUrl"] == "http://public/login/callback"
    assert made["scopes"] == ["openid", "email", "profile", "offline_access"]
    read = await world.ada.call("IdentityProviderService/GetIdentityProvider", id=made["id"])
    listed = await world.ada.call("IdentityProviderService/ListIdentityProviders")
    records = await world.ada.call("AuditService/ListAuditRecords")
    assert (read["identityProvider"], listed["identityProviders"]) == (made, [made])
    assert "canary" not in str([made, read, listed, records])
    with pytest.raises(RefusedError, match="the org has a provider with the issuer"):
        await create(world)


async def test_update_changes_what_the_mask_names_and_nothing_else(world: World) -> None:
    made = await create(world)
    changed = await world.ada.call(
        "IdentityProviderService/UpdateIdentityProvider",
        identityProvider={
            "id": made["id"],
            "name": "Other",
            "role": "owner",
            "disabled": True,
            "version": made["version"],
        },
        updateMask="name,disabled",
    )
    assert changed["identityProvider"] == {
        **made,
        "name": "Other",
        "disabled": True,
        "version": "2",
    }
    for provider, mask, message in (
        ({"id": made["id"], "version": "1"}, "name", "at version 2, not 1"),
        ({"id": made["id"], "issuer": "https://x.example"}, "issuer", "'issuer' cannot be changed"),
    ):
        with pytest.raises(RefusedError, match=message):
            await world.ada.call(
                "IdentityProviderService/UpdateIdentityProvider",
                identityProvider=provider,
                updateMask=mask,
            )
    await world.ada.call("IdentityProviderService/DeleteIdentityProvider", id=made["id"])
    assert await world.ada.call("IdentityProviderService/ListIdentityProviders") == {}


async def test_admin_reads_providers_and_configures_none(world: World) -> None:
    admin = await world.join("admin", ADMIN)
    made = await create(world)
    listed = await admin.call("IdentityProviderService/ListIdentityProviders")
    assert listed["identityProviders"] == [made]
    for rpc, request in (
        ("CreateIdentityProvider", ACME_SSO),
        ("DeleteIdentityProvider", {"id": made["id"]}),
    ):
        with pytest.raises(RefusedError, match="lacks the permission identity_provider:write"):
            await admin.call(f"IdentityProviderService/{rpc}", **request)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("issuer", "http://login.acme.example"),
        ("issuer", "https://user@login.acme.example"),
        ("clientId", ""),
        ("emailDomains", ["gmail.com"]),
        ("emailDomains", ["a b"]),
        ("scopes", ["a b"]),
        ("groupsClaim", "a b"),
    ],
)
async def test_bad_setting_of_a_provider_is_an_invalid_argument(
    world: World, field: str, value: object
) -> None:
    with pytest.raises(RefusedError) as refused:
        await create(world, **{field: value})
    assert refused.value.code == "invalid_argument"


async def test_provider_with_groups_needs_all_that_is_bound_to_groups(world: World) -> None:
    """A provider names who is in a group, so its configuration could make one an owner."""
    await world.ada.call(
        "RoleBindingService/CreateRoleBinding", principal={"group": "owners"}, role="owner"
    )
    permissions = ["identity_provider:read", "identity_provider:write"]
    await world.ada.call("RoleService/CreateRole", name="logins", permissions=permissions)
    bob = await world.join("bob", "logins")
    request = {"name": "Login", "issuer": "https://bob.example", "clientId": "volary"}
    with pytest.raises(RefusedError, match="cannot grant or take away what it lacks"):
        await bob.call(
            "IdentityProviderService/CreateIdentityProvider", **request, groupsClaim="groups"
        )
    await bob.call("IdentityProviderService/CreateIdentityProvider", **request)
