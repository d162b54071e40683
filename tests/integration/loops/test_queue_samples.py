"""Counts of queues over time: taken once a minute, kept for a week, shown in buckets."""

from datetime import timedelta

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.errors import InvalidError
from controlplane.loops.queue_samples import QueueSampler
from controlplane.store.dispatch import queue_samples
from controlplane.usecases.queue_history import KEPT, QueueHistoryReader
from tests.factories import NOW, ORG, make_new_action, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.loops.test_three_at_once import EVERY, three
from tests.integration.store.conftest import Store

OPERATOR = Caller(subject=Subject("operator"), org=ORG, name="", grants=org_wide(EVERYTHING))
MINUTE = timedelta(minutes=1)


async def fill(store: Store) -> None:
    """Add a run with three actions, of which one is assigned."""
    await store.create(make_new_run())
    await store.enqueue(make_new_action("b"), make_new_action("c"))
    await store.claim(most=1)


async def test_work_is_counted_once_a_minute_on_three_replicas(store: Store) -> None:
    clock = FakeClock(NOW)
    await fill(store)
    sampler = QueueSampler(store.database, clock, keep=KEPT, every=EVERY)
    assert sum(await three(sampler.run_once)) == 1
    assert sum(await three(sampler.run_once)) == 0
    clock.advance(MINUTE)
    assert sum(await three(sampler.run_once)) == 1


async def test_history_shows_the_most_work_of_each_bucket(store: Store) -> None:
    clock = FakeClock(NOW)
    reader = QueueHistoryReader(store.database, clock)
    sampler = QueueSampler(store.database, clock, keep=KEPT, every=EVERY)
    assert await sampler.run_once() == 0  # no work yet
    await fill(store)
    for _ in range(3):
        clock.advance(MINUTE)
        await sampler.run_once()
    clock.advance(timedelta(minutes=57))

    found = await reader.read(
        OPERATOR, "", since=clock.now() - timedelta(hours=2), until=None, buckets=2
    )

    [bucket] = found.buckets
    assert (bucket.waiting, bucket.assigned, bucket.waited) == (2, 1, 3 * MINUTE)
    assert bucket.began_at == NOW
    assert (await reader.read(OPERATOR, "none", since=None, until=None, buckets=0)).buckets == []


async def test_counts_are_forgotten_after_their_retention(store: Store) -> None:
    clock = FakeClock(NOW)
    await fill(store)
    sampler = QueueSampler(store.database, clock, keep=timedelta(minutes=5), every=EVERY)
    for _ in range(10):
        await sampler.run_once()
        clock.advance(MINUTE)
    async with store.database.for_org(ORG) as tx:
        kept = await queue_samples.read_history(
            tx, "", since=NOW - MINUTE, until=clock.now(), buckets=11
        )
    assert [each.began_at for each in kept] == [NOW + n * MINUTE for n in range(4, 10)]


@pytest.mark.parametrize("buckets", [-1, 501])
async def test_history_of_too_many_buckets_is_refused(store: Store, buckets: int) -> None:
    reader = QueueHistoryReader(store.database, FakeClock(NOW))
    with pytest.raises(InvalidError, match="buckets"):
        await reader.read(OPERATOR, "", since=None, until=None, buckets=buckets)


async def test_history_of_no_time_is_refused(store: Store) -> None:
    reader = QueueHistoryReader(store.database, FakeClock(NOW))
    for since, until in ((NOW, NOW), (NOW + MINUTE, None), (None, NOW - 2 * KEPT)):
        with pytest.raises(InvalidError, match="since"):
            await reader.read(OPERATOR, "", since=since, until=until, buckets=0)
