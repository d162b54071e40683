"""The operator's own identity provider: for people of every org, believed in every org."""

from collections.abc import AsyncIterator

import pytest

from controlplane.core.identity import NewInvitation
from controlplane.core.roles import CONTRIBUTOR, VIEWER
from controlplane.store.database import Database
from shared.model.ids import OrgName
from tests.fakes.clock import FakeClock
from tests.integration.people.world import BrowserForTests, World
from tests.servers.oidc_provider import ADA, OidcProviderForTests


@pytest.fixture
async def world(
    database: Database, clock: FakeClock, server: OidcProviderForTests
) -> AsyncIterator[World]:
    world = World(database, clock, installation=server)
    yield world
    await world.people.client.close()


async def log_in(browser: BrowserForTests, server: OidcProviderForTests) -> str:
    """Log in by the button of the login page; return the text of the page of orgs."""
    page = await browser.open("/login")
    begun = await browser.click(page, "Log in with the company login")
    back = await server.log_in(browser.theirs, begun.headers["location"], "ada")
    return (await browser.open(back, from_elsewhere=True)).text


async def test_person_without_an_org_creates_one(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    text = await log_in(browser, server)
    assert "You are in no org yet" in text
    page = await browser.open("/orgs")
    home = await browser.submit(page, "create", org="mine")
    assert "mine · owner" in home.text
    assert await world.emails(OrgName("mine")) == {"ada@acme.example": "owner"}


async def test_verified_address_joins_an_org_that_allows_its_domain(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    await world.owner_link()
    await world.orgs.allow_email_domain(world.operator(), "acme.example", VIEWER)
    assert "Open to your e-mail domain" in await log_in(browser, server)
    home = await browser.submit(await browser.open("/orgs"), "join")
    assert "acme · viewer" in home.text
    assert await world.emails() == {"ada@acme.example": VIEWER}


async def test_address_that_is_not_verified_joins_nothing(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    server.control(accounts={"ada": {**ADA, "email_verified": False}})
    await world.owner_link()
    await world.orgs.allow_email_domain(world.operator(), "acme.example", VIEWER)
    assert "Open to your e-mail domain" not in await log_in(browser, server)


async def test_person_of_two_orgs_switches_between_them(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    for org in (OrgName("one"), OrgName("two")):
        await world.owner_link(org)
        invitation = NewInvitation(role=CONTRIBUTOR, email="Ada@acme.example")
        made = await world.invitations.create(world.operator(org), invitation)
        assert made.token is not None
        page = await browser.open(f"/join?invitation={made.token.reveal()}")
        if "Log in with the company login" in page.text:
            begun = await browser.click(page, "Log in with the company login")
            back = await server.log_in(browser.theirs, begun.headers["location"], "ada")
            page = await browser.open(back)
        home = await browser.submit(page, "accept")
        assert f"{org} · contributor" in home.text
    page = await browser.open("/orgs?next=/device")
    device = await browser.submit(page, "choose", org="one")
    assert "Log in a device" in device.text
    assert (await world.audited(OrgName("one")))[-1] == "session.start"


async def test_names_and_groups_of_a_provider_are_shown_as_text(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    evil = {**ADA, "name": '<script>alert("x")</script>\n' + "x" * 10_000}
    server.control(accounts={"ada": evil})
    text = await log_in(browser, server)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert len(text) < 20_000
    await world.owner_link()
