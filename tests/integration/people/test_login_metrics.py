"""Logins of people are counted by their steps and outcomes."""

from collections.abc import Mapping

from controlplane.core.identity_providers import Provider
from tests.integration.people.test_logins import provider
from tests.integration.people.world import BrowserForTests, World
from tests.servers.oidc_provider import OidcProviderForTests

__all__ = ["provider"]


def counts(world: World) -> Mapping[tuple[str, str], float]:
    return {
        (sample.labels["step"], sample.labels["outcome"]): sample.value
        for family in world.metrics.collect()
        for sample in family.samples
        if sample.name == "volary_browser_logins_total"
    }


async def test_login_counts_its_beginning_and_its_end(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    await browser.log_in(server, provider)
    assert counts(world) == {("begin", "ok"): 1, ("finish", "ok"): 1}


async def test_login_with_a_strange_state_counts_as_refused(
    world: World, browser: BrowserForTests
) -> None:
    answer = await browser.ours.get("/login/callback", params={"state": "x", "code": "y"})
    assert answer.status_code == 400
    assert counts(world) == {("finish", "refused"): 1}


async def test_login_at_a_provider_that_is_down_counts_as_unavailable(
    world: World, browser: BrowserForTests, server: OidcProviderForTests, provider: Provider
) -> None:
    server.program.kill()
    try:
        query = {"provider": str(provider.id), "org": provider.org}
        answer = await browser.ours.get("/login/start", params=query)
    finally:
        server.restart()
    assert answer.status_code == 503
    assert counts(world) == {("begin", "unavailable"): 1}


async def test_owner_link_counts_as_a_step_of_its_own(
    world: World, browser: BrowserForTests
) -> None:
    page = await browser.open(await world.owner_link())
    await browser.submit(page, "owner")
    async with world.browser() as other:
        await other.submit(page, "owner")  # without this browser's cookie
    assert counts(world) == {("owner_link", "ok"): 1}
