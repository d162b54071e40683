"""
An org that requires its own identity provider refuses logins at others, in pages and programs.

The operator's provider and the org's are the same server, so the person is the same user in both.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from controlplane.core.callers import Subject
from controlplane.core.errors import ConflictError, NotAllowedError
from controlplane.core.identity import NewInvitation
from controlplane.core.identity_providers import Provider
from controlplane.core.oauth import Login
from controlplane.core.roles import VIEWER
from controlplane.store.database import Database
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.oauth.world import parameters
from tests.integration.people.test_installation_provider import log_in
from tests.integration.people.test_logins import redemption
from tests.integration.people.world import BrowserForTests, World
from tests.servers.oidc_provider import OidcProviderForTests

AUTHORIZE = f"/oauth2/authorize?{urlencode(parameters())}"
ELSEWHERE = OrgName("")
MANY = 450  # more than two pages


@pytest.fixture
async def world(
    database: Database, clock: FakeClock, server: OidcProviderForTests
) -> AsyncIterator[World]:
    world = World(database, clock, installation=server)
    yield world
    await world.people.client.close()


@pytest.fixture
async def provider(world: World, server: OidcProviderForTests) -> Provider:
    """The org's provider, whose people join the org as viewers."""
    await world.owner_link()
    return await world.add_provider(server, role=VIEWER)


@pytest.fixture
async def member(world: World, provider: Provider, server: OidcProviderForTests) -> None:
    """Ada is a member; her own session is of no further use."""
    async with world.browser() as browser:
        await browser.log_in(server, provider)


async def require(world: World, *, required: bool = True) -> None:
    await world.orgs.update(world.operator(), requires_own_provider=required)


async def code_of(browser: BrowserForTests) -> str:
    """Allow a program in the browser, and return its authorization code."""
    allowed = await browser.post(await browser.open(AUTHORIZE), "allow")
    [code] = parse_qs(urlsplit(allowed.headers["location"]).query)["code"]
    return code


async def redeem(browser: BrowserForTests, code: str) -> httpx.Response:
    return await browser.ours.post("/oauth2/token", data=redemption(code))


async def refresh(browser: BrowserForTests, token: str) -> httpx.Response:
    fields = {"grant_type": "refresh_token", "client_id": "flyte", "refresh_token": token}
    return await browser.ours.post("/oauth2/token", data=fields)


@pytest.mark.usefixtures("member")
async def test_session_of_another_provider_is_refused_for_the_org_and_told_where_to_log_in(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    await log_in(browser, server)
    assert "act for" in (await browser.open(AUTHORIZE)).text
    await require(world)
    page = await browser.open(AUTHORIZE)
    assert "Your orgs" in page.text
    answer = await browser.submit(page, "choose", org=ORG)
    assert answer.status_code == 403
    assert "by its own identity provider only" in answer.text
    await require(world, required=False)
    assert "act for" in (await browser.open(AUTHORIZE)).text


async def test_session_of_the_orgs_provider_is_accepted(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    await require(world)
    await browser.log_in(server, provider)
    answer = await redeem(browser, await code_of(browser))
    assert answer.status_code == 200, answer.text
    renewed = await refresh(browser, answer.json()["refresh_token"])
    assert renewed.status_code == 200, renewed.text


@pytest.mark.usefixtures("member")
async def test_programs_logged_in_elsewhere_lose_their_tokens_and_others_keep_them(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
) -> None:
    await log_in(browser, server)
    elsewhere = (await redeem(browser, await code_of(browser))).json()["refresh_token"]
    async with world.browser() as other:
        await other.log_in(server, provider)
        own = (await redeem(other, await code_of(other))).json()["refresh_token"]
    await require(world)
    answer = await refresh(browser, elsewhere)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await refresh(browser, own)).status_code == 200


@pytest.mark.usefixtures("member")
async def test_refresh_is_refused_even_if_the_process_died_before_it_revoked_logins(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    await log_in(browser, server)
    token = (await redeem(browser, await code_of(browser))).json()["refresh_token"]
    async with world.database.for_org(ORG) as tx:  # all that was committed then
        await tx.connection.execute(text("UPDATE orgs SET requires_own_provider = true"))
    answer = await refresh(browser, token)
    assert answer.status_code == 400
    assert "requires its own identity provider" in answer.json()["error_description"]


@pytest.mark.usefixtures("member")
async def test_code_from_before_the_requirement_is_refused_after_it(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    await log_in(browser, server)
    code = await code_of(browser)
    await require(world)
    answer = await redeem(browser, code)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.usefixtures("provider")
async def test_login_that_starts_while_the_org_begins_to_require_its_provider_is_revoked(
    world: World,
) -> None:
    login = Login(ORG, Subject(f"user:{uuid4()}"), ELSEWHERE)
    await require(world)
    with pytest.raises(NotAllowedError, match="requires its own identity provider"):
        await world.families.start(uuid4(), login, "flyte")
    assert await world.families.list_live(login) == []
    assert (await world.audited())[-2:] == ["login.start", "login.revoke"]


@pytest.mark.usefixtures("provider")
async def test_requirement_revokes_all_logins_elsewhere_in_pages(world: World) -> None:
    login = Login(ORG, Subject(f"user:{uuid4()}"), ELSEWHERE)
    other = Login(OrgName("other"), login.subject, ELSEWHERE)
    await world.owner_link(other.org)
    own = await world.families.start(uuid4(), replace(login, provider_org=ORG), "flyte")
    await world.families.start(uuid4(), other, "flyte")
    async with world.database.for_fleet("start many logins") as fleet:
        await fleet.connection.execute(
            text("""
                INSERT INTO token_families (
                    family_id, org, subject, client_id, created_at, used_at, expires_at)
                SELECT gen_random_uuid(), :org, :subject, 'flyte', now(), now(), now() + '1 day'
                FROM generate_series(1, :count)
            """),
            {"org": ORG, "subject": login.subject, "count": MANY},
        )
    await require(world)
    assert [each.family.id for each in await world.families.list_live(login)] == [own.family.id]
    assert len(await world.families.list_live(other)) == 1
    async with world.database.for_org(ORG) as tx:
        revoked = await tx.connection.execute(text("SELECT count(*) FROM revocations"))
        assert revoked.scalar_one() == MANY


@pytest.mark.usefixtures("provider")
async def test_owner_link_works_without_the_provider_and_is_audited(
    world: World, browser: BrowserForTests
) -> None:
    await require(world)
    home = await browser.submit(await browser.open(await world.owner_link()), "owner")
    assert "acme · owner" in home.text
    assert "act for <b>Owner of acme</b>" in (await browser.open(AUTHORIZE)).text
    assert (await redeem(browser, await code_of(browser))).status_code == 200
    assert (await world.audited())[-5:] == [
        "org.require_own_provider",
        "invitation.create",
        "member.join",
        "session.start",
        "login.start",
    ]


@pytest.mark.usefixtures("provider")
async def test_invitation_is_not_used_up_by_a_login_at_another_provider(
    world: World, browser: BrowserForTests, server: OidcProviderForTests
) -> None:
    await require(world)
    made = await world.invitations.create(
        world.operator(), NewInvitation(role=VIEWER, email="ada@acme.example")
    )
    assert made.token is not None
    await log_in(browser, server)
    page = await browser.open(f"/join?invitation={made.token.reveal()}")
    answer = await browser.submit(page, "accept")
    assert answer.status_code == 403
    assert await world.emails() == {}
    async with world.browser() as other:
        page = await other.open(f"/join?invitation={made.token.reveal()}")
        assert "You are invited" in page.text


async def test_requirement_needs_an_enabled_provider(
    world: World, server: OidcProviderForTests
) -> None:
    await world.owner_link()
    with pytest.raises(ConflictError, match="has no enabled identity provider"):
        await require(world)
    await world.add_provider(server, is_enabled=False)
    with pytest.raises(ConflictError, match="has no enabled identity provider"):
        await require(world)


async def test_last_enabled_provider_stays_while_it_is_required(
    world: World, provider: Provider
) -> None:
    await require(world)
    operator = world.operator()
    with pytest.raises(ConflictError, match="the last that is enabled"):
        await world.providers.delete(operator, provider.id)
    disabled = replace(provider.settings, is_enabled=False)
    with pytest.raises(ConflictError, match="--no-require-identity-provider"):
        await world.providers.update(operator, provider.id, disabled)
    await require(world, required=False)
    await world.providers.delete(operator, provider.id)


async def test_one_of_two_providers_stays_if_both_are_deleted_at_once(
    world: World, server: OidcProviderForTests, provider: Provider
) -> None:
    second = await world.add_provider(server, client_id="another")
    await require(world)
    operator = world.operator()
    ended = await asyncio.gather(
        *(world.providers.delete(operator, each.id) for each in (provider, second)),
        return_exceptions=True,
    )
    assert [type(each) for each in ended if each is not None] == [ConflictError]
    assert len(await world.providers.list(operator)) == 1
