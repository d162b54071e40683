"""Fixtures: a world on a clock that tests move."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import FakeClock
from tests.integration.credentials.conftest import clock, database
from tests.integration.oauth.world import Client, World

__all__ = ["clock", "database"]


@pytest.fixture
def world(database: object, clock: FakeClock) -> World:
    return World(database, clock)  # type: ignore[arg-type]  # the fixture of the same name


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    client = world.client()
    async with client.http:
        yield client
