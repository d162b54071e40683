"""Orgs: one's own and new ones, by plain JSON over HTTP."""

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.lists import Listing
from controlplane.store.identity import orgs as store
from controlplane.usecases.identity.audit import Audit
from controlplane.usecases.identity.orgs import Orgs
from shared.kit.clock import SystemClock
from tests.integration.platform.world import THEIRS, RefusedError, World


async def test_org_is_read_and_renamed_by_json(world: World) -> None:
    org = (await world.ada.call("OrgService/GetOrg"))["org"]
    renamed = await world.ada.call(
        "OrgService/UpdateOrg",
        org={"displayName": "Acme Inc.", "version": org["version"]},
        updateMask="displayName",
    )
    assert (org["name"], renamed["org"]["displayName"]) == ("acme", "Acme Inc.")
    assert int(renamed["org"]["version"]) == int(org["version"]) + 1


async def test_update_with_a_stale_version_is_aborted_and_says_to_read_again(world: World) -> None:
    change = {"org": {"displayName": "A", "version": "1"}, "updateMask": "displayName"}
    await world.ada.call("OrgService/UpdateOrg", **change)
    with pytest.raises(RefusedError, match=r"at version 2, not 1: .*read it again") as refused:
        await world.ada.call("OrgService/UpdateOrg", **change)
    assert (refused.value.status, refused.value.code) == (409, "aborted")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("name", "update_mask: 'name' cannot be changed; name one of display_name"),
        ("displayName,createdBy", "update_mask: 'created_by' cannot be changed"),
        ("", "update_mask: names no field; name one of display_name"),
    ],
)
async def test_update_of_a_field_outside_the_mask_is_refused_and_changes_nothing(
    world: World, mask: str, message: str
) -> None:
    before = await world.ada.call("OrgService/GetOrg")
    with pytest.raises(RefusedError, match=message) as refused:
        await world.ada.call(
            "OrgService/UpdateOrg", org={"displayName": "X", "name": "x"}, updateMask=mask
        )
    assert refused.value.code == "invalid_argument"
    assert await world.ada.call("OrgService/GetOrg") == before


async def test_person_creates_an_org_and_lists_their_orgs_in_pages(world: World) -> None:
    for name in ("a1", "z9"):
        made = await world.ada.call("OrgService/CreateOrg", name=name, displayName="New")
        assert made["org"]["createdBy"] == world.ada.subject
    first = await world.ada.call("OrgService/ListOrgs", pageSize=2)
    rest = await world.ada.call("OrgService/ListOrgs", pageSize=2, pageToken=first["nextPageToken"])
    assert [each["name"] for each in [*first["orgs"], *rest["orgs"]]] == ["a1", "acme", "z9"]
    assert "nextPageToken" not in rest
    assert [each["role"] for each in first["orgs"]] == ["owner", "owner"]


async def test_org_of_another_creator_is_taken(world: World) -> None:
    with pytest.raises(RefusedError, match="org theirs exists; choose another name") as refused:
        await world.ada.call("OrgService/CreateOrg", name="theirs")
    assert refused.value.code == "already_exists"


@pytest.mark.parametrize(
    "name", ["a/b", "..", "a\u202eb", "", "Ä", "a" * 64, "a\n", "a\0b", "x" * 1_000_000]
)
async def test_bad_org_name_is_an_invalid_argument(world: World, name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        await world.ada.call("OrgService/CreateOrg", name=name)
    assert refused.value.code == "invalid_argument"
    assert len(refused.value.message) < 500


async def test_unknown_field_is_named_without_the_request_s_values(world: World) -> None:
    with pytest.raises(RefusedError, match="it has no field 'dispalyName'") as refused:
        await world.ada.call("OrgService/CreateOrg", name="secret-name", dispalyName="x")
    assert "secret-name" not in refused.value.message


async def test_owner_deletes_their_org_and_no_other_org_is_concerned(world: World) -> None:
    viewer = await world.join("bob", "viewer", THEIRS)
    with pytest.raises(RefusedError, match="lacks the permission org:write"):
        await viewer.call("OrgService/DeleteOrg", name="theirs")
    with pytest.raises(RefusedError, match="name: type theirs") as refused:
        await world.eve.call("OrgService/DeleteOrg", name="acme")
    assert refused.value.code == "invalid_argument"
    with pytest.raises(RefusedError, match="at version 1, not 9") as refused:
        await world.eve.call("OrgService/DeleteOrg", name="theirs", version="9")
    assert refused.value.code == "aborted"
    deleted = (await world.eve.call("OrgService/DeleteOrg", name="theirs"))["org"]
    assert deleted["deletedAt"] < deleted["eraseAt"]
    assert "erasedAt" not in deleted
    for person in (world.eve, viewer):
        with pytest.raises(RefusedError) as refused:
            await person.call("OrgService/GetOrg")
        assert refused.value.code == "unauthenticated"
    assert (await world.ada.call("OrgService/GetOrg"))["org"]["name"] == "acme"
    with pytest.raises(RefusedError, match="no other one gets its name") as refused:
        await world.ada.call("OrgService/CreateOrg", name="theirs")
    assert refused.value.code == "already_exists"


async def test_org_of_the_installation_cannot_be_deleted(world: World) -> None:
    with pytest.raises(RefusedError, match=r"starts with \(VOLARY_ORG\)") as refused:
        await world.ada.call("OrgService/DeleteOrg", name="acme")
    assert refused.value.code == "aborted"


async def test_person_joins_an_org_that_is_open_to_their_verified_domain(world: World) -> None:
    carol = await world.join("carol", "viewer")
    with pytest.raises(RefusedError, match="org theirs not found") as refused:
        await carol.call("OrgService/JoinOrg", name="theirs")
    assert refused.value.code == "not_found"
    assert await carol.call("OrgService/ListJoinableOrgs") == {}

    operator = Caller(
        subject=Subject("operator:test"), org=THEIRS, name="", grants=org_wide(EVERYTHING)
    )
    orgs = Orgs(world.database, SystemClock(), self_service=True)
    await orgs.allow_email_domain(operator, "carol.example", "contributor")
    found = await carol.call("OrgService/ListJoinableOrgs")
    assert found["orgs"] == [{"name": "theirs", "displayName": "Theirs", "role": "contributor"}]
    for _ in range(2):
        assert await carol.call("OrgService/JoinOrg", name="theirs") == {"org": "theirs"}
    assert await carol.call("OrgService/ListJoinableOrgs") == {}
    mine = (await carol.call("OrgService/ListOrgs"))["orgs"]
    assert [(each["name"], each["role"]) for each in mine] == [
        ("acme", "viewer"),
        ("theirs", "contributor"),
    ]
    acts = await Audit(world.database).list(operator, Listing(limit=9))
    joined = [each.event for each in acts.rows if each.event.action == "member.join"]
    assert [(each.actor, each.detail["email_domain"]) for each in joined] == [
        (carol.subject, "carol.example")
    ]
    with pytest.raises(RefusedError, match="org theirs not found"):
        await world.ada.call("OrgService/JoinOrg", name="theirs")


async def test_org_that_requires_its_own_provider_is_not_joined_by_a_program(world: World) -> None:
    carol = await world.join("carol", "viewer")
    operator = Caller(
        subject=Subject("operator:test"), org=THEIRS, name="", grants=org_wide(EVERYTHING)
    )
    orgs = Orgs(world.database, SystemClock(), self_service=True)
    await orgs.allow_email_domain(operator, "carol.example", "viewer")
    async with world.database.for_org(THEIRS) as tx:
        await store.update_org(tx, display_name="Theirs", requires_own_provider=True)
    with pytest.raises(RefusedError, match="join it by logging in there") as refused:
        await carol.call("OrgService/JoinOrg", name="theirs")
    assert refused.value.code == "permission_denied"


async def test_call_without_a_credential_is_unauthenticated(world: World) -> None:
    answer = await world.http.post("/volary.platform.v1.OrgService/GetOrg", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
