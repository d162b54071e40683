"""A revoked credential is refused by every replica; missed notifications change nothing."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import asyncpg
import pytest

from controlplane.authn.revocations import Revocations
from controlplane.core.callers import Credential
from controlplane.core.credentials import REVOCATION_KEPT, CredentialKind, Revocation
from controlplane.core.errors import UnauthenticatedError
from controlplane.feeds.feeds import Feeds
from controlplane.loops.revocations import RevocationReader
from controlplane.store.credentials.revocations import delete_expired_revocations, revoke
from controlplane.store.database import Database
from controlplane.store.notify.notifications import listen
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.running import running

LOGIN = Credential("login", "f1")
NEVER = timedelta(hours=1)


def make_reader(
    database: Database, revocations: Revocations, clock: FakeClock | SystemClock
) -> RevocationReader:
    feeds = Feeds(database, lambda: listen("unused"))
    return RevocationReader(database, revocations, feeds, clock, every=NEVER)


async def revoke_login(database: Database, clock: FakeClock | SystemClock) -> None:
    async with database.for_org(ORG) as tx:
        await revoke(tx, ORG, CredentialKind.LOGIN, "f1", clock.now())


async def test_revocation_reaches_every_replica_by_notification(
    database: Database, database_url: str
) -> None:
    clock = SystemClock()
    received: list[asyncio.Queue[Collection[Revocation]]] = []
    async with AsyncExitStack() as replicas:
        for _ in range(3):
            revocations, queue = Revocations(clock), asyncio.Queue[Collection[Revocation]]()
            feeds = Feeds(database, partial(listen, database_url))
            reader = RevocationReader(database, revocations, feeds, clock, every=NEVER)
            replicas.enter_context(revocations.listening(queue.put_nowait))
            await replicas.enter_async_context(running(feeds, at_most=60))
            await replicas.enter_async_context(running(reader, at_most=60))
            received.append(queue)
        await revoke_login(database, clock)
        for queue in received:
            [revocation] = await queue.get()
            assert (revocation.org, revocation.kind, revocation.id) == (ORG, "login", "f1")


async def test_replica_that_starts_later_knows_earlier_revocations(
    database: Database, clock: FakeClock
) -> None:
    await revoke_login(database, clock)
    clock.advance(REVOCATION_KEPT - timedelta(seconds=1))
    revocations = Revocations(clock)
    assert await make_reader(database, revocations, clock).run_once() == 1
    with pytest.raises(UnauthenticatedError):
        revocations.require_valid(ORG, LOGIN)


async def test_revocation_that_commits_late_is_read(database: Database, clock: FakeClock) -> None:
    revocations = Revocations(clock)
    reader = make_reader(database, revocations, clock)
    async with database.for_org(ORG) as tx:
        await revoke(tx, ORG, CredentialKind.LOGIN, "f1", clock.now())
        clock.advance(timedelta(seconds=20))
        assert await reader.run_once() == 0
    assert await reader.run_once() == 1
    assert await reader.run_once() == 0


async def test_revocation_of_another_org_is_not_written(database: Database) -> None:
    async with database.for_org(OrgName("mallory")) as tx:
        with pytest.raises(Exception, match="row-level security"):
            await revoke(tx, ORG, CredentialKind.LOGIN, "f1", SystemClock().now())


async def test_expired_revocation_is_deleted(
    database: Database, clock: FakeClock, owner_database_url: str
) -> None:
    await revoke_login(database, clock)
    clock.advance(REVOCATION_KEPT)
    async with database.for_fleet("test") as tx:
        assert await delete_expired_revocations(tx, clock.now()) == 0
    clock.advance(timedelta(seconds=1))
    async with database.for_fleet("test") as tx:
        assert await delete_expired_revocations(tx, clock.now()) == 1
    owner = await asyncpg.connect(owner_database_url)
    assert await owner.fetchval("SELECT count(*) FROM revocations") == 0
    await owner.close()
