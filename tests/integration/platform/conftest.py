"""The API as it is served, with the people of two orgs."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from controlplane.core.callers import Caller
from controlplane.core.roles import OWNER
from controlplane.store.database import open_database
from controlplane.store.identity import members
from controlplane.usecases.identity.orgs import Orgs
from shared.kit.clock import SystemClock
from tests.integration.api.client import ORG, open_api
from tests.integration.platform.world import THEIRS, BySubject, Person, World, log_in


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    database, clock = open_database(database_url, pool_size=4), SystemClock()
    async with (
        open_api(database_url, tmp_path / "blobs", authn=BySubject(database)) as api,
        httpx.AsyncClient(base_url=api.url, timeout=60) as http,
    ):
        ada, eve = await log_in(database, "ada"), await log_in(database, "eve")
        async with database.for_org(ORG) as tx:  # made when the API started
            await members.add_member(tx, ada, OWNER, source="test", now=clock.now())
        await Orgs(database, clock, self_service=True).create(
            Caller(subject=eve.subject, org=THEIRS, name="Eve"), THEIRS, "Theirs"
        )
        yield World(
            database=database,
            http=http,
            ada=Person(http, ORG, ada.subject),
            eve=Person(http, THEIRS, eve.subject),
        )
    await database.close()
