"""An operator's one-time link lets an owner in without an identity provider."""

import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from controlplane.core.identity import NewInvitation, subject_of_user
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.people.world import PUBLIC_URL, BrowserForTests, World


async def test_owner_link_logs_in_an_owner_without_a_provider(
    world: World, browser: BrowserForTests
) -> None:
    page = await browser.open(await world.owner_link(), from_elsewhere=True)
    assert "You are invited to the org <b>acme</b> as owner" in page.text
    assert "invitation=" not in str(page.url)

    home = await browser.submit(page, "owner")
    assert home.status_code == 200
    assert "Your orgs" in home.text
    assert "acme · owner" in home.text
    assert await world.emails() == {f"Owner of {ORG}": "owner"}
    assert (await world.audited())[-2:] == ["member.join", "session.start"]


async def test_owner_link_leads_to_the_root_where_the_console_is_if_it_is_built(
    world: World, browser: BrowserForTests
) -> None:
    page = await browser.open(await world.owner_link())
    [token] = re.findall(r'name="csrf_token" value="(\w+)"', page.text)
    form = {"csrf_token": token, "decision": "owner"}
    answer = await browser.ours.post("/join", data=form, headers={"origin": PUBLIC_URL})
    assert 'content="0;url=/"' in answer.text


async def test_owner_link_works_once(world: World, browser: BrowserForTests) -> None:
    address = await world.owner_link()
    page = await browser.open(address)
    await browser.submit(page, "owner")
    async with world.browser() as other:
        answer = await other.open(address)
        assert answer.status_code == 404
        assert "used, expired or withdrawn" in answer.text
        await other.post(page, "owner")
        assert "__Host-volary" not in other.ours.cookies
    assert len(await world.emails()) == 1


async def test_owner_comes_back_with_another_link_as_the_same_account(
    world: World, browser: BrowserForTests
) -> None:
    await browser.submit(await browser.open(await world.owner_link()), "owner")
    async with world.browser() as other:
        page = await other.open(await world.owner_link())
        assert "it logs in the same account" in page.text
        await other.submit(page, "owner")
        sessions = await other.open("/sessions")
    assert sessions.text.count("(this one)") == 1
    assert sessions.text.count("<li>") == 2
    assert list((await world.emails()).values()) == ["owner"]


async def test_owner_link_expires_after_fifteen_minutes(
    world: World, browser: BrowserForTests, clock: FakeClock
) -> None:
    page = await browser.open(await world.owner_link())
    clock.advance(timedelta(minutes=15, seconds=1))
    answer = await browser.submit(page, "owner")
    assert answer.status_code == 404
    assert await world.emails() == {}


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "../../x"])
async def test_link_that_is_none_is_not_found(browser: BrowserForTests, token: str) -> None:
    answer = await browser.open(f"/join?invitation={token}")
    assert answer.status_code in (400, 404)


async def test_usual_invitation_does_not_log_in_by_itself(
    world: World, browser: BrowserForTests
) -> None:
    """Only operators' links do: an owner's invitation needs a person who has logged in."""
    await world.owner_link()  # which creates the org
    member = replace(world.operator(), subject=subject_of_user(UUID(int=1)))
    made = await world.invitations.create(member, NewInvitation(role="owner"))
    assert made.token is not None
    page = await browser.open(f"/join?invitation={made.token.reveal()}")
    assert page.status_code == 200
    assert "No login is set up" in page.text
    assert 'value="owner"' not in page.text


async def test_owner_creates_and_switches_orgs(world: World, browser: BrowserForTests) -> None:
    home = await browser.submit(await browser.open(await world.owner_link()), "owner")
    home = await browser.submit(home, "create", org="second")
    assert "second · owner" in home.text
    assert await world.emails(OrgName("second")) == {f"Owner of {ORG}": "owner"}
    page = await browser.submit(home, "choose", org=str(ORG))
    assert page.status_code == 200
    assert (await world.audited())[-1] == "session.start"
    answer = await browser.post(home, "create", org="Not a name")
    assert answer.status_code == 400


async def test_org_is_created_by_the_operator_only_if_self_service_is_off(
    database: object, clock: FakeClock
) -> None:
    world = World(database, clock, self_service=False)  # type: ignore[arg-type]
    async with world.browser() as browser:
        home = await browser.submit(await browser.open(await world.owner_link()), "owner")
        assert "A new org" not in home.text
        assert 'value="create"' not in home.text
    await world.people.client.close()
