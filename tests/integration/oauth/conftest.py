"""Fixtures: a world on a clock that tests move."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.integration.credentials.conftest import add_org, clock, database
from tests.integration.oauth.world import Client, World

__all__ = ["clock", "database"]


@pytest.fixture
async def world(database: Any, clock: FakeClock) -> World:
    await add_org(database)
    return World(database, clock)


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    client = world.client()
    async with client.http:
        yield client
