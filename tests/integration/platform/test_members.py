"""Members: pages, roles in the whole org, removal."""

import pytest

from controlplane.core.roles import CONTRIBUTOR, VIEWER
from tests.integration.platform.world import RefusedError, World


async def test_members_are_listed_in_pages_and_by_role(world: World) -> None:
    for name in ("bob", "cyd", "dan"):
        await world.join(name, VIEWER)
    seen: list[str] = []
    token = ""
    while True:
        page = await world.ada.call("MemberService/ListMembers", pageSize=3, pageToken=token)
        seen += [each["name"] for each in page["members"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    viewers = await world.ada.call("MemberService/ListMembers", role=VIEWER)
    assert seen == ["ada", "bob", "cyd", "dan"]
    assert [each["name"] for each in viewers["members"]] == ["bob", "cyd", "dan"]


async def test_page_token_of_another_query_or_org_is_refused(world: World) -> None:
    for name in ("bob", "cyd"):
        await world.join(name, VIEWER)
        await world.join(name, VIEWER, world.eve.org)
    page = await world.ada.call("MemberService/ListMembers", pageSize=1)
    token = page["nextPageToken"]
    for person, rpc, request in (
        (world.eve, "MemberService/ListMembers", {}),
        (world.ada, "MemberService/ListMembers", {"role": VIEWER}),
        (world.ada, "OrgService/ListOrgs", {}),
    ):
        with pytest.raises(RefusedError, match="page_token: is not of this list") as refused:
            await person.call(rpc, pageToken=token, **request)
        assert refused.value.code == "invalid_argument"


@pytest.mark.parametrize("token", ["x", ".", "é", "x" * 5_000, "\u202e.W10"])
async def test_forged_page_token_is_refused(world: World, token: str) -> None:
    with pytest.raises(RefusedError) as refused:
        await world.ada.call("MemberService/ListMembers", pageToken=token)
    assert refused.value.code == "invalid_argument"


async def test_forged_content_of_a_page_token_is_refused(world: World) -> None:
    await world.join("bob", VIEWER)
    page = await world.ada.call("MemberService/ListMembers", pageSize=1)
    digest = page["nextPageToken"].partition(".")[0]
    for content in ("W10", "bnVsbA", "%%%", "W1tdLFsxLDIsM11d"):
        with pytest.raises(RefusedError, match="page token is invalid") as refused:
            await world.ada.call("MemberService/ListMembers", pageToken=f"{digest}.{content}")
        assert refused.value.code == "invalid_argument"


async def test_page_size_is_cut_to_the_most_and_must_not_be_negative(world: World) -> None:
    assert await world.ada.call("MemberService/ListMembers", pageSize=1_000_000)
    with pytest.raises(RefusedError, match="page_size: must not be negative"):
        await world.ada.call("MemberService/ListMembers", pageSize=-1)


async def test_member_s_role_is_changed_and_member_is_removed(world: World) -> None:
    bob = await world.join("bob", VIEWER)
    changed = await world.ada.call(
        "MemberService/UpdateMember",
        member={"userId": bob.id, "role": CONTRIBUTOR, "version": "1"},
        updateMask="role",
    )
    await world.ada.call("MemberService/RemoveMember", userId=bob.id)
    assert (changed["member"]["role"], changed["member"]["version"]) == (CONTRIBUTOR, "2")
    with pytest.raises(RefusedError) as refused:
        await world.ada.call("MemberService/GetMember", userId=bob.id)
    assert (refused.value.status, refused.value.code) == (404, "not_found")


async def test_member_leaves_by_themselves_and_removes_no_other(world: World) -> None:
    bob, cyd = await world.join("bob", VIEWER), await world.join("cyd", VIEWER)
    with pytest.raises(RefusedError) as refused:
        await bob.call("MemberService/RemoveMember", userId=cyd.id)
    assert refused.value.code == "permission_denied"
    assert await bob.call("MemberService/RemoveMember", userId=bob.id) == {}


@pytest.mark.parametrize("text", ["", "x", "{00000000-0000-7000-8000-000000000001}", "A" * 36])
async def test_malformed_id_is_an_invalid_argument_that_names_the_field(
    world: World, text: str
) -> None:
    with pytest.raises(RefusedError, match="user_id: ") as refused:
        await world.ada.call("MemberService/GetMember", userId=text)
    assert refused.value.code == "invalid_argument"
