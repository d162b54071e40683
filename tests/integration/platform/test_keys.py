"""Service accounts and API keys: the secret is shown once, and repeating a create makes no other."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.core.roles import ADMIN, VIEWER
from controlplane.usecases.identity.callers import ApiKeyChecks
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText
from tests.integration.platform.world import Person, RefusedError, World


async def account(person: Person, name: str = "ci", **request: Any) -> Any:
    made = await person.call("ServiceAccountService/CreateServiceAccount", name=name, **request)
    return made["serviceAccount"]


async def works(world: World, created: Any) -> bool:
    """Return whether the token endpoint would take the key."""
    checks = ApiKeyChecks(world.database, SystemClock())
    secret = SecretText(created["secret"]["clientSecret"])
    return await checks.check(created["apiKey"]["clientId"], secret) is not None


async def test_key_has_the_form_of_the_sdk_and_works_until_it_is_revoked(world: World) -> None:
    ci = await account(world.ada)
    made = await world.ada.call("ApiKeyService/CreateApiKey", serviceAccountId=ci["id"], name="k")
    key, secret = made["apiKey"], made["secret"]
    decoded = b64decode(secret["apiKey"]).decode()
    assert decoded == f"public:{key['clientId']}:{secret['clientSecret']}:acme"
    assert await works(world, made)
    revoked = await world.ada.call("ApiKeyService/RevokeApiKey", id=key["id"])
    again = await world.ada.call("ApiKeyService/RevokeApiKey", id=key["id"])
    assert revoked["apiKey"]["revokedAt"] == again["apiKey"]["revokedAt"]
    assert not await works(world, made)


async def test_repeated_create_answers_the_same_key_without_its_secret(world: World) -> None:
    ci = await account(world.ada)
    request = {"requestId": "r1", "serviceAccountId": ci["id"], "name": "k"}
    first = await world.ada.call("ApiKeyService/CreateApiKey", **request)
    again = await world.ada.call("ApiKeyService/CreateApiKey", **request)
    listed = await world.ada.call("ApiKeyService/ListApiKeys", serviceAccountId=ci["id"])
    assert again == {"apiKey": first["apiKey"]}
    assert listed == {"apiKeys": [first["apiKey"]]}
    assert first["secret"]["clientSecret"] not in str(listed)


async def test_request_id_with_another_content_is_taken(world: World) -> None:
    await account(world.ada, "ci", requestId="r1")
    with pytest.raises(RefusedError, match="request id r1 was used for another request") as taken:
        await account(world.ada, "cd", requestId="r1")
    assert taken.value.code == "already_exists"


async def test_request_ids_of_different_callers_are_different(world: World) -> None:
    bob = await world.join("bob", ADMIN)
    mine = await account(world.ada, "ci", requestId="r1")
    theirs = await account(world.eve, "ci", requestId="r1")
    with pytest.raises(RefusedError, match="service account ci exists"):
        await account(bob, "ci", requestId="r1")
    bobs = await account(bob, "cd", requestId="r1")
    assert len({mine["id"], theirs["id"], bobs["id"]}) == 3


@pytest.mark.parametrize("overlap", ["0s", "3600s"])
async def test_rotated_key_ends_after_the_overlap(world: World, overlap: str) -> None:
    ci = await account(world.ada)
    old = await world.ada.call("ApiKeyService/CreateApiKey", serviceAccountId=ci["id"], name="k")
    request = {"id": old["apiKey"]["id"], "overlap": overlap, "requestId": "r1"}
    new = await world.ada.call("ApiKeyService/RotateApiKey", **request)
    again = await world.ada.call("ApiKeyService/RotateApiKey", **request)
    ended = (await world.ada.call("ApiKeyService/GetApiKey", id=old["apiKey"]["id"]))["apiKey"]

    assert again == {"apiKey": new["apiKey"]}
    assert (new["apiKey"]["name"], new["apiKey"]["serviceAccountId"]) == ("k", ci["id"])
    assert await works(world, new)
    assert await works(world, old) is (overlap != "0s")
    if overlap == "0s":
        assert "revokedAt" in ended
        with pytest.raises(RefusedError, match="has ended; create another one"):
            await world.ada.call("ApiKeyService/RotateApiKey", id=old["apiKey"]["id"])
    else:
        left = datetime.fromisoformat(ended["expiresAt"]) - datetime.now(UTC)  # noqa: TID251
        assert timedelta(0) < left <= timedelta(hours=1)


async def test_overlap_is_bounded(world: World) -> None:
    ci = await account(world.ada)
    old = await world.ada.call("ApiKeyService/CreateApiKey", serviceAccountId=ci["id"])
    for overlap in ("-1s", f"{31 * 86_400}s", "315576000000s"):
        with pytest.raises(RefusedError, match="overlap: must be between zero and 30 days"):
            await world.ada.call(
                "ApiKeyService/RotateApiKey", id=old["apiKey"]["id"], overlap=overlap
            )


async def test_key_in_the_past_is_refused(world: World) -> None:
    ci = await account(world.ada)
    with pytest.raises(RefusedError, match="expires_at: lies in the past"):
        await world.ada.call(
            "ApiKeyService/CreateApiKey",
            serviceAccountId=ci["id"],
            expiresAt="2020-01-01T00:00:00Z",
        )


async def test_account_is_disabled_renamed_and_deleted(world: World) -> None:
    ci = await account(world.ada)
    changed = await world.ada.call(
        "ServiceAccountService/UpdateServiceAccount",
        serviceAccount={"id": ci["id"], "name": "cd", "disabled": True, "version": ci["version"]},
        updateMask="disabled",
    )
    assert (changed["serviceAccount"]["name"], changed["serviceAccount"]["disabled"]) == (
        "ci",
        True,
    )
    await world.ada.call("ServiceAccountService/DeleteServiceAccount", id=ci["id"])
    listed = await world.ada.call("ServiceAccountService/ListServiceAccounts")
    assert listed == {}


async def test_caller_makes_no_key_of_an_account_that_outranks_them(world: World) -> None:
    admin = await world.join("admin", ADMIN)
    ci = await account(world.ada)
    await world.ada.call(
        "RoleBindingService/CreateRoleBinding",
        principal={"serviceAccountId": ci["id"]},
        role="owner",
    )
    old = await world.ada.call("ApiKeyService/CreateApiKey", serviceAccountId=ci["id"])
    for rpc, request in (
        ("CreateApiKey", {"serviceAccountId": ci["id"]}),
        ("RotateApiKey", {"id": old["apiKey"]["id"]}),
        ("RevokeApiKey", {"id": old["apiKey"]["id"]}),
    ):
        with pytest.raises(RefusedError, match="lacks identity_provider:write, org:write"):
            await admin.call(f"ApiKeyService/{rpc}", **request)
    assert await works(world, old)


async def test_service_account_acts_by_its_bindings_and_is_no_person(world: World) -> None:
    ci = await account(world.ada)
    await world.ada.call(
        "RoleBindingService/CreateRoleBinding",
        principal={"serviceAccountId": ci["id"]},
        role=VIEWER,
    )
    machine = Person(world.http, world.ada.org, f"serviceaccount:{ci['id']}")  # type: ignore[arg-type]
    assert (await machine.call("OrgService/GetOrg"))["org"]["name"] == "acme"
    assert await machine.call("SessionService/ListSessions") == {}
    for rpc, request, message in (
        ("OrgService/CreateOrg", {"name": "mine"}, "only a person can create an org"),
        ("InvitationService/AcceptInvitation", {"token": "x"}, "only a person can accept"),
        ("OrgService/JoinOrg", {"name": "theirs"}, "only a person can join an org"),
        ("OrgService/ListJoinableOrgs", {}, "only a person can join an org"),
    ):
        with pytest.raises(RefusedError, match=message):
            await machine.call(rpc, **request)
