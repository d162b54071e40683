"""Fixtures of credentials: a migrated database, and a clock that tests move."""

from collections.abc import AsyncIterator

import pytest

from controlplane.store.database import Database, open_database
from tests.factories import NOW
from tests.fakes.clock import FakeClock


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url, fleet_pool_size=8)
    yield database
    await database.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)
