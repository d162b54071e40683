"""Feeds: failed reads are retried and delay no other run."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from controlplane.core.actions import ActionRow
from controlplane.feeds.feeds import FAILED_READS, Feeds
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import Notification
from controlplane.store.notify.notifications import listen
from controlplane.store.resources import actions as store_actions
from shared.kit.wakeup import Wakeup
from shared.model.ids import RunId
from tests.factories import ORG, make_new_run
from tests.integration.feeds.conftest import World
from tests.integration.store.conftest import CLUSTER, Store
from tests.running import running, until

MORE_THAN_READERS = 6


def failed_reads(what: str) -> float:
    registry = CollectorRegistry()
    registry.register(FAILED_READS)
    return registry.get_sample_value("volary_feed_failures_total", {"what": what}) or 0.0


class Reads:
    """Reads of changes, of which those of some runs fail."""

    def __init__(self, broken: set[RunId]) -> None:
        self.broken = broken
        self.failed: list[RunId] = []
        self._read = store_actions.list_changed

    async def __call__(
        self, tx: OrgTx, run: RunId, *, after: int, most: int
    ) -> Sequence[ActionRow]:
        if run in self.broken:
            self.failed.append(run)
            raise ValueError("a row cannot be read")
        return await self._read(tx, run, after=after, most=most)


async def test_feed_retries_a_failed_read_and_delays_no_other_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"r{number}" for number in range(MORE_THAN_READERS + 1)]
    runs = [await world.store.create(make_new_run(name)) for name in names]
    broken = runs[:-1]
    reads = Reads(set(broken))
    monkeypatch.setattr(store_actions, "list_changed", reads)
    before = failed_reads("changes")

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        taken = [tasks.create_task(_take_one(world, run)) for run in runs]
        await until(lambda: len(world.feeds._watched) == len(runs))
        for run in runs:
            await world.store.abort(run)
        await taken[-1]
        await until(lambda: len(reads.failed) > 2 * len(broken))
        assert set(reads.failed) == set(broken)
        assert not any(task.done() for task in taken[:-1])
        assert failed_reads("changes") - before >= 2 * len(broken)

        reads.broken.clear()  # what could not be read can be read
    assert [task.result() for task in taken] == runs


async def _take_one(world: World, run: RunId) -> RunId:
    async with world.feeds.changes(ORG, run) as subscription:
        [row] = await subscription.take()
        return row.run_id


async def test_feed_listener_continues_after_any_failure(store: Store, database_url: str) -> None:
    opened = 0

    async def notifications() -> AsyncGenerator[Notification | None, None]:
        nonlocal opened
        opened += 1
        if opened == 1:
            raise ValueError("not a notification")
        async for notification in listen(database_url):
            yield notification

    before = failed_reads("notifications")
    feeds = Feeds(store.database, partial(notifications))
    async with running(feeds, at_most=60):
        wakeup = Wakeup()
        with feeds.work(ORG, CLUSTER, wakeup):
            await wakeup.wait(timedelta(seconds=20))
    assert opened == 2
    assert failed_reads("notifications") == before + 1
