"""Fixtures of credentials: a migrated database, and a clock that tests move."""

from collections.abc import AsyncIterator

import pytest

from controlplane.store.database import Database, open_database
from controlplane.store.resources.clusters import save_org
from shared.model.ids import OrgName
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url, fleet_pool_size=8)
    yield database
    await database.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


async def add_org(database: Database, org: OrgName = ORG) -> None:
    """Create an org that people log in to."""
    async with database.for_org(org) as tx:
        await save_org(tx, NOW)
