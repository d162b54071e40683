"""Fixtures of the feeds' tests: a store, feeds that listen to it, and use cases that watch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.feeds.feeds import Feeds
from controlplane.store.database import Database, OrgTx
from controlplane.store.notify.notifications import listen
from controlplane.usecases.actions import Actions
from controlplane.usecases.runs import Runs
from shared.blobs.store import open_store
from shared.kit.wakeup import Wakeup
from shared.model.ids import OrgName
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock
from tests.integration.runs import make_actions, make_runs
from tests.integration.store.conftest import CLUSTER, Store, store
from tests.running import running

__all__ = ["store"]

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))


class CountingDatabase(Database):
    """A database that counts the transactions opened through it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._orgs, database._fleet)
        self.opened = 0

    @asynccontextmanager
    async def for_org(
        self, org: OrgName, *, lock_timeout: timedelta | None = None
    ) -> AsyncIterator[OrgTx]:
        self.opened += 1
        async with super().for_org(org, lock_timeout=lock_timeout) as tx:
            yield tx


@dataclass(frozen=True, slots=True)
class World:
    store: Store
    feeds: Feeds
    reads: CountingDatabase  # through which the feeds read
    actions: Actions
    runs: Runs


@pytest.fixture
async def world(store: Store, database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    reads = CountingDatabase(store.database)
    feeds = Feeds(reads, partial(listen, database_url))
    clock = FakeClock(NOW)
    async with running(feeds, at_most=60):
        wakeup = Wakeup()
        with feeds.work(ORG, CLUSTER, wakeup):
            await wakeup.wait(timedelta(seconds=5))  # woken once they listen
        blobs = open_store(f"file://{tmp_path}")
        yield World(
            store,
            feeds,
            reads,
            make_actions(store.database, feeds, clock, blobs),
            make_runs(store.database, feeds, clock, blobs),
        )
