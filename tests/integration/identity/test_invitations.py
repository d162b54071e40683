"""Joining an org: by link, by verified e-mail address, by the first owner's link."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Grant, Subject, org_wide
from controlplane.core.errors import (
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
)
from controlplane.core.identity import NewInvitation
from controlplane.core.lists import Listing
from controlplane.core.roles import ADMIN, BUILT_IN_ROLES, CONTRIBUTOR, OWNER, VIEWER
from shared.kit.secrets import SecretText, new_secret
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.integration.identity.conftest import World, user_of


async def invite(world: World, new: NewInvitation) -> SecretText:
    made = await world.invitations.create(world.owner, new)
    assert made.token is not None
    return made.token


async def test_invitation_makes_one_user_a_member_once(world: World) -> None:
    token = await invite(world, NewInvitation(role=CONTRIBUTOR))
    bob, eve = await world.log_in("bob"), await world.log_in("eve")

    assert await world.invitations.find_org(token) == ORG
    assert await world.invitations.accept(bob, token) == ORG
    assert await world.invitations.accept(bob, token) == ORG  # the answer was lost
    with pytest.raises(NotFoundError, match="used, expired or withdrawn"):
        await world.invitations.accept(eve, token)
    caller = await world.callers(ORG, bob.subject)
    assert caller.grants == (Grant(BUILT_IN_ROLES[CONTRIBUTOR]),)


async def test_invitation_that_two_users_accept_at_once_has_one_winner(world: World) -> None:
    token = await invite(world, NewInvitation(role=VIEWER))
    users = [await world.log_in(name) for name in ("bob", "eve")]
    outcomes = await asyncio.gather(
        *(world.invitations.accept(user, token) for user in users), return_exceptions=True
    )
    assert [each for each in outcomes if each == ORG] == [ORG]
    assert [type(each) for each in outcomes if each != ORG] == [NotFoundError]


async def test_expired_withdrawn_and_made_up_invitations_are_not_found(world: World) -> None:
    bob = await world.log_in("bob")
    expired = await invite(world, NewInvitation(role=VIEWER, life=timedelta(minutes=1)))
    world.clock.advance(timedelta(minutes=1))
    made = await world.invitations.create(world.owner, NewInvitation(role=VIEWER))
    await world.invitations.withdraw(world.owner, made.invitation.id)
    for token in (expired, made.token, new_secret()):
        assert token is not None
        with pytest.raises(NotFoundError, match="ask for a new one"):
            await world.invitations.accept(bob, token)


@pytest.mark.parametrize(
    ("email", "verified"),
    [("eve@example.com", True), ("bob@example.com", False), ("", True)],
    ids=["another address", "not verified", "none"],
)
async def test_invitation_for_an_address_needs_that_verified_address(
    world: World, email: str, *, verified: bool
) -> None:
    token = await invite(world, NewInvitation(role=VIEWER, email="Bob@Example.com"))
    stranger = await world.log_in("stranger", email=email or "x@y.example", verified=verified)
    with pytest.raises(NotAllowedError, match="for another e-mail address"):
        await world.invitations.accept(stranger, token)
    bob = await world.log_in("bob", email="bob@example.com")
    await world.invitations.accept(bob, token)


async def test_invitation_to_a_project_binds_its_role_there(world: World) -> None:
    token = await invite(world, NewInvitation(role=CONTRIBUTOR, project="p", domain="staging"))
    bob = await world.log_in("bob")
    await world.invitations.accept(bob, token)
    caller = await world.callers(ORG, bob.subject)
    assert caller.grants == (Grant(BUILT_IN_ROLES[CONTRIBUTOR], "p", "staging"),)


async def test_member_with_a_role_keeps_it_and_the_invitation(world: World) -> None:
    token = await invite(world, NewInvitation(role=OWNER))
    viewer = await world.join("viewer", VIEWER)
    user = await world.users.find(user_of(viewer))
    assert user is not None
    with pytest.raises(ConflictError, match="member of org acme already"):
        await world.invitations.accept(user, token)
    await world.invitations.accept(await world.log_in("bob"), token)


async def test_invitation_to_a_role_that_the_caller_lacks_is_refused(world: World) -> None:
    admin = await world.join("admin", ADMIN)
    with pytest.raises(NotAllowedError, match="lacks identity_provider:write, org:write"):
        await world.invitations.create(admin, NewInvitation(role=OWNER))
    for new, error in (
        (NewInvitation(role="nothing"), NotFoundError),
        (NewInvitation(role=VIEWER, email="no address"), InvalidError),
        (NewInvitation(role=VIEWER, life=timedelta(days=31)), InvalidError),
        (NewInvitation(role=VIEWER, domain="staging"), InvalidError),
        (NewInvitation(role=VIEWER, project="p", domain="moon"), NotFoundError),
    ):
        with pytest.raises(error):
            await world.invitations.create(admin, new)


async def test_token_is_given_once_for_a_request_id(world: World) -> None:
    new = NewInvitation(role=VIEWER)
    first = await world.invitations.create(world.owner, new, request_id="i-1")
    second = await world.invitations.create(world.owner, new, request_id="i-1")
    assert (second.invitation, second.token) == (first.invitation, None)
    listed, _ = await world.invitations.list(world.owner, Listing())
    assert listed == [first.invitation]


async def test_owner_link_makes_the_first_owner_and_dies_after_use_or_15_minutes(
    world: World,
) -> None:
    new = OrgName("new")
    operator = Caller(
        subject=Subject("operator:root"), org=new, name="root", grants=org_wide(EVERYTHING)
    )
    first = await world.invitations.create_owner_link(operator)
    second = await world.invitations.create_owner_link(operator)
    bob, eve = await world.log_in("bob"), await world.log_in("eve")
    with pytest.raises(NotFoundError, match="ask for a new one"):
        await world.invitations.accept(bob, first)  # the second link ended it
    assert await world.invitations.accept(bob, second) == new
    assert (await world.callers(new, bob.subject)).grants == (Grant(EVERYTHING),)
    with pytest.raises(NotFoundError, match="ask for a new one"):
        await world.invitations.accept(eve, second)

    late = await world.invitations.create_owner_link(operator)
    world.clock.advance(timedelta(minutes=15))
    with pytest.raises(NotFoundError, match="ask for a new one"):
        await world.invitations.accept(eve, late)


async def test_users_of_an_allowed_email_domain_join_by_their_verified_address(
    world: World,
) -> None:
    await world.orgs.allow_email_domain(world.owner, "Acme.Example", VIEWER)
    bob = await world.log_in("bob", email="bob@acme.example")
    fake = await world.log_in("fake", email="fake@acme.example", verified=False)
    eve = await world.log_in("eve", email="eve@sub.acme.example")

    assert [each.org for each in await world.invitations.list_joinable(bob)] == [ORG]
    await world.invitations.join_by_email(bob, ORG)
    await world.invitations.join_by_email(bob, ORG)  # once more
    assert await world.invitations.list_joinable(bob) == []
    assert (await world.callers(ORG, bob.subject)).grants == (Grant(BUILT_IN_ROLES[VIEWER]),)
    for stranger in (fake, eve):
        assert await world.invitations.list_joinable(stranger) == []
        with pytest.raises(NotFoundError, match="org acme not found"):
            await world.invitations.join_by_email(stranger, ORG)

    await world.orgs.forbid_email_domain(world.owner, "acme.example")
    carol = await world.log_in("carol", email="carol@acme.example")
    with pytest.raises(NotFoundError, match="org acme not found"):
        await world.invitations.join_by_email(carol, ORG)


async def test_email_domain_is_allowed_only_by_an_owner_who_has_an_address_there(
    world: World,
) -> None:
    with pytest.raises(NotAllowedError, match=r"verified address in rival\.example"):
        await world.orgs.allow_email_domain(world.owner, "rival.example", VIEWER)
    for domain in ("gmail.com", "localhost", "a b.example", "", "x" * 300):
        with pytest.raises(InvalidError):
            await world.orgs.allow_email_domain(world.owner, domain, VIEWER)


async def test_one_account_at_a_provider_is_one_user_however_many_log_in_at_once(
    world: World,
) -> None:
    users = await asyncio.gather(*(world.log_in("bob") for _ in range(4)))
    assert len({each.id for each in users}) == 1
    renamed = await world.users.log_in(
        "https://provider", "bob", email="new@example.com", email_verified=False, name="Bobby"
    )
    assert renamed.id == users[0].id
    assert await world.users.find(renamed.id) == renamed
    other = await world.users.log_in(
        "https://other", "bob", email="bob@example.com", email_verified=True, name="bob"
    )
    assert other.id != renamed.id
    assert replace(other, id=renamed.id) == users[0]
