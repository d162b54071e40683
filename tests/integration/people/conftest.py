"""Fixtures: a world whose clock tests move, a browser, and a real identity provider."""

from collections.abc import AsyncIterator, Iterator

import pytest

from shared.kit.clock import SystemClock
from tests.fakes.clock import FakeClock
from tests.integration.credentials.conftest import database
from tests.integration.people.world import CALLBACK, PUBLIC_URL, BrowserForTests, World
from tests.servers import oidc_provider
from tests.servers.oidc_provider import OidcProviderForTests

__all__ = ["database"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(SystemClock().now())  # the provider has the machine's


@pytest.fixture
async def world(database: object, clock: FakeClock) -> AsyncIterator[World]:
    world = World(database, clock)  # type: ignore[arg-type]  # the fixture of the same name
    yield world
    await world.people.client.close()


@pytest.fixture
async def browser(world: World) -> AsyncIterator[BrowserForTests]:
    async with world.browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def shared_provider(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OidcProviderForTests]:
    logs = tmp_path_factory.mktemp("provider")
    with oidc_provider.running(
        logs, redirect_uris=[CALLBACK], logout_uris=[f"{PUBLIC_URL}/login"]
    ) as provider:
        yield provider


@pytest.fixture
def server(shared_provider: OidcProviderForTests) -> OidcProviderForTests:
    """A provider with one person, Ada, and usual speed."""
    shared_provider.control(accounts={"ada": dict(oidc_provider.ADA)}, delay=0)
    return shared_provider
