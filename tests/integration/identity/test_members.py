"""Orgs, members, roles and bindings: who may grant and take away what."""

import asyncio
from dataclasses import replace

import pytest

from controlplane.core import lists
from controlplane.core.callers import EVERYTHING, Grant, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    UnauthenticatedError,
)
from controlplane.core.identity import NewBinding, PrincipalKind
from controlplane.core.lists import Filter, Listing
from controlplane.core.roles import ADMIN, BUILT_IN_ROLES, CONTRIBUTOR, OWNER, VIEWER
from controlplane.usecases.identity.orgs import Orgs
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName
from tests.factories import NOW, ORG
from tests.integration.identity.conftest import World, user_of

ALL = Listing(limit=200)


def to_user(user: object, role: str, project: str = "", domain: str = "") -> NewBinding:
    return NewBinding(
        kind=PrincipalKind.USER, principal=str(user), role=role, project=project, domain=domain
    )


async def test_creator_of_an_org_is_its_owner_and_creating_it_again_changes_nothing(
    world: World,
) -> None:
    again = await world.orgs.create(world.owner, ORG, "Another name")
    assert (again.name, again.display_name, again.version) == (ORG, "Acme", 1)
    assert world.owner.grants == (Grant(EVERYTHING),)
    mine, token = await world.orgs.list_mine(world.owner)
    assert [(each.org, each.role) for each in mine] == [(ORG, OWNER)]
    assert token == ""


async def test_org_of_another_creator_is_taken_and_bad_names_are_refused(world: World) -> None:
    bob = await world.join("bob", VIEWER)
    with pytest.raises(AlreadyExistsError, match="org acme exists"):
        await world.orgs.create(bob, ORG)
    for name in ("Up", "-a", "a-", "a/b", "..", "", "a" * 64, "é"):
        with pytest.raises(InvalidError, match="small letters"):
            await world.orgs.create(bob, name)


async def test_operator_can_switch_off_self_service(world: World) -> None:
    orgs = Orgs(world.database, world.clock, self_service=False)
    with pytest.raises(NotAllowedError, match="operator create orgs only"):
        await orgs.create(world.owner, "mine")


async def test_list_of_ones_orgs_is_paged_by_name(world: World) -> None:
    for name in ("a1", "z9"):
        await world.orgs.create(world.owner, name)
    first, after = await world.orgs.list_mine(world.owner, limit=2)
    rest, end = await world.orgs.list_mine(world.owner, limit=2, after=after)
    assert [each.org for each in [*first, *rest]] == ["a1", ORG, "z9"]
    assert end == ""


async def test_rename_with_a_stale_version_is_refused_naming_it(world: World) -> None:
    renamed = await world.orgs.update(world.owner, display_name="Acme Inc.", version=1)
    assert (renamed.display_name, renamed.version) == ("Acme Inc.", 2)
    with pytest.raises(ConflictError, match="org acme is at version 2, not 1"):
        await world.orgs.update(world.owner, display_name="Other", version=1)


async def test_last_owner_can_neither_leave_nor_be_demoted(world: World) -> None:
    ada = user_of(world.owner)
    for attempt in (
        world.members.remove(world.owner, ada),
        world.members.set_role(world.owner, ada, ADMIN),
    ):
        with pytest.raises(ConflictError, match="last owner of the org"):
            await attempt
    await world.join("bob", OWNER)
    await world.members.remove(world.owner, ada)
    with pytest.raises(UnauthenticatedError, match="no member of org acme"):
        await world.callers(ORG, world.owner.subject)


async def test_two_owners_who_remove_each_other_at_once_leave_one(world: World) -> None:
    bob = await world.join("bob", OWNER)
    outcomes = await asyncio.gather(
        world.members.remove(world.owner, user_of(bob)),
        world.members.remove(bob, user_of(world.owner)),
        return_exceptions=True,
    )
    failed = [each for each in outcomes if each is not None]
    assert len(failed) == 1
    assert isinstance(failed[0], ConflictError | NotFoundError)


async def test_admin_can_neither_make_nor_remove_an_owner(world: World) -> None:
    admin = await world.join("admin", ADMIN)
    viewer = user_of(await world.join("viewer", VIEWER))
    for attempt in (
        world.members.set_role(admin, viewer, OWNER),
        world.members.remove(admin, user_of(world.owner)),
        world.members.set_role(admin, user_of(world.owner), VIEWER),
        world.roles.bind(admin, to_user(viewer, OWNER)),
        world.roles.bind(admin, to_user(viewer, OWNER, "p")),
    ):
        with pytest.raises(NotAllowedError, match="lacks identity_provider:write, org:write"):
            await attempt
    changed = await world.members.set_role(admin, viewer, CONTRIBUTOR, version=1)
    assert (changed.role, changed.version) == (CONTRIBUTOR, 2)
    with pytest.raises(ConflictError, match="at version 2, not 1"):
        await world.members.set_role(admin, viewer, VIEWER, version=1)


async def test_member_with_a_binding_that_the_caller_lacks_cannot_be_removed_by_it(
    world: World,
) -> None:
    admin = await world.join("admin", ADMIN)
    quiet = user_of(await world.join("quiet", ""))
    await world.roles.bind(world.owner, to_user(quiet, OWNER, "p"))
    with pytest.raises(NotAllowedError, match="in project p"):
        await world.members.remove(admin, quiet)


async def test_viewer_may_leave_but_not_remove_others(world: World) -> None:
    viewer = await world.join("viewer", VIEWER)
    with pytest.raises(NotAllowedError, match="member:write"):
        await world.members.remove(viewer, user_of(world.owner))
    await world.members.remove(viewer, user_of(viewer))
    found, _ = await world.members.list(world.owner, ALL)
    assert [each.name for each in found] == ["Ada"]


async def test_members_are_listed_with_filters_and_page_tokens(world: World) -> None:
    for name in ("m1", "m2", "m3"):
        await world.join(name, VIEWER)
    first, token = await world.members.list(world.owner, Listing(limit=3))
    rest, end = await world.members.list(world.owner, Listing(limit=3, token=token))
    assert len({each.user for each in [*first, *rest]}) == 4
    assert (len(first), len(rest), end) == (3, 1, "")
    by_role = Listing(filters=[Filter("role", lists.Test.EQUAL, ["owner"])])
    owners, _ = await world.members.list(world.owner, by_role)
    assert [each.email for each in owners] == ["ada@acme.example"]


async def test_custom_role_grants_its_permissions_in_the_scope_of_its_binding(
    world: World,
) -> None:
    bob = await world.join("bob", "")
    assert bob.grants == ()
    await world.roles.create(world.owner, "runner", ["run:create", "run:read"])
    await world.roles.bind(world.owner, to_user(user_of(bob), "runner", "p", "production"))
    await world.roles.bind(world.owner, to_user(user_of(bob), VIEWER, "q"))

    grants = set((await world.callers(ORG, bob.subject)).grants)
    runner = frozenset({Permission.RUN_CREATE, Permission.RUN_READ})
    assert grants == {
        Grant(runner, "p", "production"),
        Grant(BUILT_IN_ROLES[VIEWER], "q"),
    }

    await world.roles.update(world.owner, "runner", permissions=["run:read"], version=1)
    changed = (await world.callers(ORG, bob.subject)).grants
    assert Grant(frozenset({Permission.RUN_READ}), "p", "production") in changed
    with pytest.raises(ConflictError, match="role runner is at version 2, not 1"):
        await world.roles.update(world.owner, "runner", description="x", version=1)


async def test_group_binding_grants_to_members_whom_the_provider_put_in_the_group(
    world: World,
) -> None:
    bob = await world.log_in("bob")
    group = NewBinding(kind=PrincipalKind.GROUP, principal="ml team", role=CONTRIBUTOR)
    await world.roles.bind(world.owner, group)

    assert not await world.users.save_groups(ORG, bob, ["ml team"], join=False)
    assert await world.users.save_groups(ORG, bob, ["ml team", "all"], join=True)
    assert (await world.callers(ORG, bob.subject)).may(Permission.RUN_CREATE)

    await world.users.save_groups(ORG, bob, ["all"], join=False)
    assert (await world.callers(ORG, bob.subject)).grants == ()


async def test_role_may_not_have_what_its_maker_lacks(world: World) -> None:
    admin = await world.join("admin", ADMIN)
    with pytest.raises(NotAllowedError, match="lacks org:write"):
        await world.roles.create(admin, "too-much", ["org:write"])
    await world.roles.create(world.owner, "renamer", ["org:write"])
    for attempt in (
        world.roles.update(admin, "renamer", permissions=["run:read"]),
        world.roles.delete(admin, "renamer"),
    ):
        with pytest.raises(NotAllowedError, match="lacks org:write"):
            await attempt


async def test_role_and_member_that_are_removed_while_bound_leave_no_binding_behind(
    world: World,
) -> None:
    for number in range(5):
        bob = user_of(await world.join(f"bob{number}", ""))
        name = f"role{number}"
        await world.roles.create(world.owner, name, ["run:read"])
        await asyncio.gather(
            world.roles.bind(world.owner, to_user(bob, name)),
            world.roles.delete(world.owner, name),
            world.members.remove(world.owner, bob),
            return_exceptions=True,
        )
    members, _ = await world.members.list(world.owner, ALL)
    there_are = {each.name for each in await world.roles.list(world.owner)}
    bindings, _ = await world.roles.list_bindings(world.owner, ALL)
    assert {each.bound.role for each in bindings} <= there_are
    assert {each.bound.principal for each in bindings} <= {str(each.user) for each in members}


async def test_role_in_use_is_kept_and_built_in_roles_stay(world: World) -> None:
    bob = user_of(await world.join("bob", ""))
    await world.roles.create(world.owner, "reader", ["run:read"], "Reads runs.")
    await world.roles.create(world.owner, "reader", ["run:read"], "Reads runs.")  # idempotent
    with pytest.raises(AlreadyExistsError, match="role reader exists"):
        await world.roles.create(world.owner, "reader", ["task:read"])
    binding = await world.roles.bind(world.owner, to_user(bob, "reader"))
    with pytest.raises(ConflictError, match="role reader is in use"):
        await world.roles.delete(world.owner, "reader")
    await world.roles.unbind(world.owner, binding.id)
    await world.roles.delete(world.owner, "reader")
    with pytest.raises(InvalidError, match="role owner is built in"):
        await world.roles.delete(world.owner, OWNER)
    with pytest.raises(InvalidError, match="unknown permissions run:fly"):
        await world.roles.create(world.owner, "pilot", ["run:fly"])
    assert [each.name for each in await world.roles.list(world.owner)] == [*BUILT_IN_ROLES]


async def test_admin_of_a_project_binds_roles_in_that_project_only(world: World) -> None:
    lead = await world.join("lead", "")
    bob = user_of(await world.join("bob", ""))
    await world.roles.bind(world.owner, to_user(user_of(lead), ADMIN, "p"))
    lead = await world.callers(ORG, lead.subject)

    made = await world.roles.bind(lead, to_user(bob, CONTRIBUTOR, "p", "development"))
    with pytest.raises(NotFoundError, match="project q not found"):
        await world.roles.bind(lead, to_user(bob, VIEWER, "q"))
    with pytest.raises(NotAllowedError, match="member:write in org"):
        await world.roles.bind(lead, to_user(bob, VIEWER))
    with pytest.raises(NotAllowedError, match="lacks identity_provider:write, org:write"):
        await world.roles.bind(lead, to_user(bob, OWNER, "p"))
    elsewhere = await world.roles.bind(world.owner, to_user(bob, VIEWER, "q"))
    with pytest.raises(NotFoundError, match="role binding"):
        await world.roles.unbind(lead, elsewhere.id)
    seen, _ = await world.roles.list_bindings(lead, ALL)
    assert {each.bound.project for each in seen} == {"p"}
    await world.roles.unbind(lead, made.id)


async def test_bindings_name_existing_principals_projects_and_roles(world: World) -> None:
    bob = user_of(await world.join("bob", ""))
    missing = new_uuid(NOW)
    for bound, what in (
        (to_user(missing, VIEWER), "member"),
        (replace(to_user(missing, VIEWER), kind=PrincipalKind.SERVICE_ACCOUNT), "service account"),
        (to_user(bob, VIEWER, "nowhere"), "project nowhere"),
        (to_user(bob, "nothing"), "role nothing not found; there is owner, admin"),
        (to_user(bob, VIEWER, "p", "moon"), "domain moon"),
    ):
        with pytest.raises(NotFoundError, match=what):
            await world.roles.bind(world.owner, bound)
    for bound in (to_user("bob", VIEWER), to_user(str(bob).upper(), VIEWER)):
        with pytest.raises(InvalidError, match="principal"):
            await world.roles.bind(world.owner, bound)
    with pytest.raises(InvalidError, match="name the project"):
        await world.roles.bind(world.owner, to_user(bob, VIEWER, "", "production"))


async def test_binding_by_request_id_is_made_once(world: World) -> None:
    bob = user_of(await world.join("bob", ""))
    bound = to_user(bob, VIEWER, "p")
    first, second = await asyncio.gather(
        *(world.roles.bind(world.owner, bound, request_id="r-1") for _ in range(2))
    )
    assert first == second
    with pytest.raises(AlreadyExistsError, match="request id r-1 was used for another request"):
        await world.roles.bind(world.owner, to_user(bob, VIEWER, "q"), request_id="r-1")
    assert (await world.audited()).count("role.bind") == 1


async def test_members_of_another_org_are_neither_seen_nor_changed(world: World) -> None:
    bob = await world.join("bob", VIEWER)
    await world.orgs.create(bob, "theirs")
    theirs = await world.callers(OrgName("theirs"), bob.subject)
    for attempt in (
        world.members.get(theirs, user_of(world.owner)),
        world.members.set_role(theirs, user_of(world.owner), VIEWER),
        world.members.remove(theirs, user_of(world.owner)),
        world.roles.bind(theirs, to_user(user_of(world.owner), VIEWER)),
    ):
        with pytest.raises(NotFoundError, match="member"):
            await attempt
    found, _ = await world.members.list(theirs, ALL)
    assert [each.name for each in found] == ["bob"]
