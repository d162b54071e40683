"""People log in at a real identity provider: membership, groups, refresh, logout, consent."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from controlplane.core.identity import NewBinding, NewInvitation, PrincipalKind
from controlplane.core.identity_providers import ACTIVE, Provider
from controlplane.core.roles import CONTRIBUTOR, VIEWER
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.oauth.world import CALLBACK, VERIFIER, parameters
from tests.integration.people.world import BrowserForTests, World
from tests.servers.oidc_provider import ADA, OidcProviderForTests

OTHER = OrgName("other")


@pytest.fixture
async def provider(world: World, server: OidcProviderForTests) -> Provider:
    """An org with a provider, whose group ``data`` may contribute."""
    await world.owner_link()
    provider = await world.add_provider(server)
    bound = NewBinding(kind=PrincipalKind.GROUP, principal="data", role=CONTRIBUTOR)
    await world.roles.bind(world.operator(), bound)
    return provider


async def test_person_with_a_verified_address_joins_and_has_the_roles_of_their_groups(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    home = await browser.log_in(server, provider)
    assert home.status_code == 200
    assert "Ada Lovelace" in home.text
    assert "acme · by groups and bindings" in home.text
    assert await world.emails() == {"ada@acme.example": ""}
    assert "run:create" in await world.permissions_of("ada@acme.example")
    assert (await world.audited())[-2:] == ["member.join", "session.start"]


async def test_person_who_may_not_join_is_a_member_of_nothing(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    server.control(accounts={"eve": {**ADA, "email": "eve@acme.example", "email_verified": False}})
    home = await browser.log_in(server, provider, "eve")
    assert "You are in no org yet" in home.text
    assert await world.emails() == {}
    page = await browser.open("/device")
    assert "Your orgs" in page.text


async def test_address_that_an_orgs_provider_verified_is_not_believed_in_other_orgs(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    """The owner of an org decides what its provider says, and could claim any address."""
    other = OrgName("other")
    await world.owner_link(other)
    await world.orgs.allow_email_domain(world.operator(other), "acme.example", VIEWER)
    invitation = NewInvitation(role=VIEWER, email="ada@acme.example")
    made = await world.invitations.create(world.operator(other), invitation)
    assert made.token is not None

    home = await browser.log_in(server, provider)
    assert "Open to your e-mail domain" not in home.text
    page = await browser.open(f"/join?invitation={made.token.reveal()}")
    answer = await browser.submit(page, "accept")
    assert answer.status_code == 403
    assert await world.emails(other) == {}


async def test_invitation_for_an_address_is_accepted_in_the_org_of_the_provider(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    await world.owner_link()
    await world.add_provider(server)
    server.control(accounts={"bob": {**ADA, "email": "bob@elsewhere.example"}})
    invitation = NewInvitation(role=VIEWER, email="bob@elsewhere.example")
    made = await world.invitations.create(world.operator(), invitation)
    assert made.token is not None
    page = await browser.open(f"/join?invitation={made.token.reveal()}", from_elsewhere=True)
    assert "Log in with Acme login" in page.text
    begun = await browser.click(page, "Log in with Acme login")
    back = await server.log_in(browser.theirs, begun.headers["location"], "bob")
    page = await browser.open(back, from_elsewhere=True)
    assert "You are invited to the org <b>acme</b>" in page.text
    home = await browser.submit(page, "accept")
    assert "acme · viewer" in home.text
    assert await world.emails() == {"bob@elsewhere.example": VIEWER}


async def test_login_page_finds_the_provider_by_org_and_by_verified_email_domain(
    world: World, browser: BrowserForTests, provider: Provider
) -> None:
    page = await browser.open("/login")
    for account, is_found in (
        ("acme", True),
        ("ada@acme.example", False),  # the org has not shown that the domain is its own
        ("unknown", False),
        ("not a name!", False),
        ("@", False),
    ):
        answer = await browser.post(page, "find", account=account)
        assert answer.status_code == 200
        assert (f"provider={provider.id}" in answer.text) is is_found, account
        assert ("No login is set up" in answer.text) is not is_found
    await world.orgs.allow_email_domain(world.operator(), "acme.example", VIEWER)
    answer = await browser.post(page, "find", account="Ada@ACME.example")
    assert f"provider={provider.id}" in answer.text


async def test_login_page_names_the_orgs_of_providers_that_two_orgs_have_for_one_domain(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    await world.owner_link(OTHER)
    theirs = await world.add_provider(server, OTHER)
    await world.orgs.allow_email_domain(world.operator(), "acme.example", VIEWER)
    page = await browser.open("/login")
    answer = await browser.post(page, "find", account="ada@acme.example")
    assert "Acme login" in answer.text
    assert "Acme login (" not in answer.text, "there is one org only"
    await world.orgs.allow_email_domain(world.operator(OTHER), "acme.example", VIEWER)
    answer = await browser.post(page, "find", account="ada@acme.example")
    for org, each in (("acme", provider), ("other", theirs)):
        assert f"Log in with Acme login ({org})" in answer.text
        assert f"provider={each.id}" in answer.text


async def test_removed_group_takes_effect_within_five_minutes(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    clock: FakeClock,
) -> None:
    await browser.log_in(server, provider)
    server.control(accounts={"ada": {**ADA, "groups": ["admins"]}})
    clock.advance(timedelta(minutes=2))
    assert await world.people.checks.run_once() == 0
    clock.advance(timedelta(minutes=2, seconds=30))
    assert await world.people.checks.run_once() == 1
    assert await world.permissions_of("ada@acme.example") == set()

    server.control(accounts={"ada": dict(ADA)})  # the refresh token was replaced, and works
    clock.advance(timedelta(minutes=4, seconds=30))
    assert await world.people.checks.run_once() == 1
    assert "run:create" in await world.permissions_of("ada@acme.example")


async def test_person_removed_at_the_provider_is_logged_out_everywhere(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    clock: FakeClock,
) -> None:
    page = await browser.log_in(
        server, provider, going=f"/oauth2/authorize?{urlencode(parameters())}"
    )
    assert "act for <b>Ada Lovelace</b> in the org <b>acme</b>" in page.text
    allowed = await browser.post(page, "allow")
    [code] = parse_qs(urlsplit(allowed.headers["location"]).query)["code"]
    tokens = await browser.ours.post("/oauth2/token", data=redemption(code))
    assert tokens.status_code == 200, tokens.text

    server.control(accounts={})
    clock.advance(timedelta(minutes=5))
    await world.people.checks.run_once()
    assert (await browser.open("/sessions")).url.path == "/login"
    refresh = {
        "grant_type": "refresh_token",
        "client_id": "flyte",
        "refresh_token": tokens.json()["refresh_token"],
    }
    assert (await browser.ours.post("/oauth2/token", data=refresh)).status_code == 400
    assert await world.permissions_of("ada@acme.example") == set()
    assert await world.people.checks.run_once() == 0


async def test_person_who_comes_back_after_a_pause_has_the_groups_of_now(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    clock: FakeClock,
) -> None:
    await browser.log_in(server, provider)
    server.control(accounts={"ada": {**ADA, "groups": []}})
    clock.advance(ACTIVE + timedelta(minutes=1))
    assert await world.people.checks.run_once() == 0  # nobody was active
    page = await browser.open("/device")
    assert "Log in a device" in page.text
    assert await world.permissions_of("ada@acme.example") == set()


async def test_groups_count_for_an_hour_while_the_provider_is_down(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    clock: FakeClock,
) -> None:
    await browser.log_in(server, provider)
    server.program.kill()
    try:
        for minutes, has_role in ((10, True), (55, False)):
            clock.advance(timedelta(minutes=minutes))
            await browser.open("/orgs")  # active
            await world.people.checks.run_once()
            permissions = await world.permissions_of("ada@acme.example")
            assert ("run:create" in permissions) is has_role
        assert (await browser.open("/orgs")).url.path == "/orgs"
    finally:
        server.restart()


async def test_groups_end_in_minutes_if_the_provider_gives_no_refresh_token(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, clock: FakeClock
) -> None:
    await world.owner_link()
    provider = await world.add_provider(server, scopes=("openid", "email", "profile", "groups"))
    bound = NewBinding(kind=PrincipalKind.GROUP, principal="data", role=CONTRIBUTOR)
    await world.roles.bind(world.operator(), bound)
    await browser.log_in(server, provider)
    assert "run:create" in await world.permissions_of("ada@acme.example")
    clock.advance(timedelta(minutes=5, seconds=1))
    await world.people.checks.run_once()
    assert await world.permissions_of("ada@acme.example") == set()


async def test_logout_ends_the_session_and_leads_to_the_providers_logout(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    home = await browser.log_in(server, provider)
    cookie = browser.ours.cookies["__Host-volary"]
    page = await browser.submit(home, "logout")
    assert "You are logged out" in page.text
    assert f"{server.issuer}/session/end?client_id=volary" in page.text
    assert "__Host-volary" not in browser.ours.cookies
    browser.ours.cookies.set("__Host-volary", cookie)
    assert (await browser.open("/orgs")).url.path == "/login"


async def test_sessions_are_listed_and_ended_one_by_one(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    await browser.log_in(server, provider)
    async with world.browser(peer="198.51.100.7") as other:
        await other.log_in(server, provider)
        page = await browser.open("/sessions")
        assert "198.51.100.7" in page.text
        [other_id] = [
            each
            for each in find_ids(page.text)
            if f'value="{each}"' in page.text.split("198.51.100.7", 1)[1].split("</li>")[0]
        ]
        await browser.submit(page, "browser", id=other_id)
        assert (await other.open("/orgs")).url.path == "/login"
    assert (await browser.open("/orgs")).url.path == "/orgs"
    assert (await world.audited())[-1] == "session.end"


async def test_sessions_end_when_idle_and_after_a_day(
    browser: BrowserForTests, server: OidcProviderForTests, provider: Provider, clock: FakeClock
) -> None:
    await browser.log_in(server, provider)
    for _ in range(3):
        clock.advance(timedelta(hours=7))
        assert (await browser.open("/orgs")).url.path == "/orgs"
    clock.advance(timedelta(hours=4))
    assert (await browser.open("/orgs")).url.path == "/login"


async def test_login_works_after_the_provider_rotated_its_keys(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    clock: FakeClock,
) -> None:
    await browser.log_in(server, provider)
    server.control(rotate=True)
    clock.advance(timedelta(seconds=31))  # keys are looked for again at most twice a minute
    async with world.browser() as other:
        home = await other.log_in(server, provider)
    assert "Ada Lovelace" in home.text


async def test_disabled_and_deleted_providers_end_their_sessions(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    await browser.log_in(server, provider)
    await world.providers.delete(world.operator(), provider.id)
    assert (await browser.open("/orgs")).url.path == "/login"
    answer = await browser.ours.get(
        "/login/start", params={"provider": str(provider.id), "org": ORG}
    )
    assert answer.status_code == 404


def redemption(code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "client_id": "flyte",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }


def find_ids(text: str) -> list[str]:
    return re.findall(r'name="id" value="([^"]*)"', text)
