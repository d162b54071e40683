"""A provider that is disabled or deleted logs out its people, in browsers and programs."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text

from controlplane.core.callers import Subject
from controlplane.core.identity_providers import Provider
from controlplane.core.oauth import Login
from controlplane.core.roles import VIEWER
from tests.factories import ORG
from tests.integration.people.test_required_provider import AUTHORIZE, code_of, redeem, refresh
from tests.integration.people.world import BrowserForTests, World
from tests.servers.oidc_provider import OidcProviderForTests

Removal = Callable[[World, Provider], Awaitable[object]]
MANY = 450  # more than two pages


async def disable(world: World, provider: Provider) -> None:
    settings = replace(provider.settings, is_enabled=False)
    await world.providers.update(world.operator(), provider.id, settings)


async def delete(world: World, provider: Provider) -> None:
    await world.providers.delete(world.operator(), provider.id)


@pytest.fixture
async def provider(world: World, server: OidcProviderForTests) -> Provider:
    await world.owner_link()
    return await world.add_provider(server, role=VIEWER)


@pytest.mark.parametrize("remove", [disable, delete])
async def test_programs_of_a_removed_providers_people_are_logged_out_and_others_are_not(
    world: World,
    browser: BrowserForTests,
    server: OidcProviderForTests,
    provider: Provider,
    remove: Removal,
) -> None:
    await browser.log_in(server, provider)
    token = (await redeem(browser, await code_of(browser))).json()["refresh_token"]
    async with world.browser() as other:
        await other.submit(await other.open(await world.owner_link()), "owner")
        kept = (await redeem(other, await code_of(other))).json()["refresh_token"]
    await remove(world, provider)
    assert (await refresh(browser, token)).status_code == 400
    assert (await browser.open(AUTHORIZE)).url.path == "/login"
    assert (await refresh(browser, kept)).status_code == 200


async def test_logins_of_a_removed_provider_are_revoked_in_pages(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    await browser.log_in(server, provider)
    async with world.database.for_fleet("start many logins") as fleet:
        [user] = (await fleet.connection.execute(text("SELECT user_id FROM provider_logins"))).one()
        await fleet.connection.execute(
            text("""
                INSERT INTO token_families (
                    family_id, org, subject, client_id, created_at, used_at, expires_at)
                SELECT gen_random_uuid(), :org, :subject, 'flyte', now(), now(), now() + '1 day'
                FROM generate_series(1, :count)
            """),
            {"org": ORG, "subject": f"user:{user}", "count": MANY},
        )
    stranger = Login(ORG, Subject(f"user:{uuid4()}"))
    await world.families.start(uuid4(), stranger, "flyte")
    await delete(world, provider)
    assert await world.families.list_live(Login(ORG, Subject(f"user:{user}"))) == []
    assert len(await world.families.list_live(stranger)) == 1
