"""Tests of condition timeouts and of the daily partitions of events, on several replicas."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg

from controlplane.core.actions import ActionType, ConditionInfo, NewAction
from controlplane.loops.partitions import EventPartitions
from controlplane.loops.timeouts import Timeouts
from controlplane.store.resources.actions import signal
from shared.model.ids import ActionName, RunId
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.factories import NOW, ORG, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import Store

EVERY = timedelta(hours=1)


def make_condition(name: str, *, timeout: timedelta | None) -> NewAction:
    return replace(
        make_new_action(name, kind=ActionType.CONDITION),
        condition=ConditionInfo(literal_type=b"type", timeout=timeout),
    )


async def answer(store: Store, run: RunId, name: str) -> bool:
    async with store.database.for_org(ORG) as tx:
        return await signal(tx, run, ActionName(name), value=b"yes", by="someone", now=NOW)


async def test_condition_without_an_answer_times_out(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(
        make_condition("short", timeout=timedelta(minutes=1)),
        make_condition("long", timeout=timedelta(hours=1)),
        make_condition("endless", timeout=None),
    )
    clock = FakeClock(NOW)
    timeouts = Timeouts(store.database, clock, every=EVERY)
    assert await timeouts.run_once() == 0
    clock.advance(timedelta(minutes=1))
    assert await timeouts.run_once() == 1
    assert await timeouts.run_once() == 0

    short = (await store.detail(run, "short")).row
    assert short.phase is Phase.TIMED_OUT
    assert short.failure is not None
    assert (short.failure.code, short.failure.kind) == ("CONDITION_TIMEOUT", FailureKind.USER)
    assert await store.phase(run, "long") is await store.phase(run, "endless") is Phase.PAUSED


async def test_condition_answer_counts_before_its_timeout_only(store: Store) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(
        make_condition("early", timeout=timedelta(minutes=1)),
        make_condition("late", timeout=timedelta(minutes=1)),
    )
    assert await answer(store, run, "early")
    clock = FakeClock(NOW + timedelta(hours=1))
    await Timeouts(store.database, clock, every=EVERY).run_once()
    assert not await answer(store, run, "late")
    assert not await answer(store, run, "early")

    early = (await store.detail(run, "early")).row
    assert (early.phase, early.value, early.signalled_by) == (Phase.SUCCEEDED, b"yes", "someone")
    assert await store.phase(run, "late") is Phase.TIMED_OUT


async def test_signal_is_refused_except_for_conditions(store: Store) -> None:
    run = await store.create(make_new_run())
    assert not await answer(store, run, "a0")
    assert await store.phase(run) is Phase.QUEUED


async def test_timeouts_on_two_replicas_end_each_condition_once(store: Store) -> None:
    await store.create(make_new_run())
    await store.enqueue(*(make_condition(f"q{n}", timeout=timedelta(minutes=1)) for n in range(20)))
    clock = FakeClock(NOW + timedelta(hours=1))
    passes = [Timeouts(store.database, clock, every=EVERY).run_once() for _ in range(3)]
    assert sum(await asyncio.gather(*passes)) == 20


async def days(owner_database_url: str) -> list[str]:
    owner = await asyncpg.connect(owner_database_url)
    rows = await owner.fetch(
        "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"
        " AND relname ~ '^action_events_[0-9]' ORDER BY relname"
    )
    await owner.close()
    return [row["relname"].removeprefix("action_events_") for row in rows]


def partitions(store: Store, clock: FakeClock) -> EventPartitions:
    return EventPartitions(store.database, clock, keep=timedelta(days=30), every=EVERY)


async def test_event_partitions_of_a_week_are_created_once(
    store: Store, owner_database_url: str
) -> None:
    clock = FakeClock(NOW)
    both = [partitions(store, clock).run_once() for _ in range(2)]
    assert sum(await asyncio.gather(*both)) == 7
    assert await partitions(store, clock).run_once() == 0
    ready = await days(owner_database_url)
    assert ready == [f"{NOW.date() + timedelta(days=n):%Y%m%d}" for n in range(7)]

    clock.advance(timedelta(days=1))
    assert await partitions(store, clock).run_once() == 1
    assert (await days(owner_database_url))[-1] == "20260608"


async def test_old_event_partitions_are_dropped_with_their_events(
    store: Store, owner_database_url: str
) -> None:
    clock = FakeClock(NOW)
    await partitions(store, clock).run_once()
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    assert await store.count("action_events") == 1

    clock.advance(timedelta(days=30))
    await partitions(store, clock).run_once()
    assert (await days(owner_database_url))[0] == "20260601"  # kept for thirty days, whole
    assert await store.count("action_events") == 1

    clock.advance(timedelta(days=1))
    await partitions(store, clock).run_once()
    assert (await days(owner_database_url))[0] == "20260602"
    assert await store.count("action_events") == 0
    [attempt] = (await store.detail(run)).attempts
    assert attempt.phase is Phase.RUNNING  # the events are dropped, the state is kept


async def test_events_in_the_default_partition_are_kept_and_deleted_in_time(
    store: Store, owner_database_url: str
) -> None:
    await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    assert await store.count("action_events") == 1

    clock = FakeClock(NOW)
    # Today's partition is not created, because its events are in the default one.
    assert await partitions(store, clock).run_once() == 6
    assert f"{NOW:%Y%m%d}" not in await days(owner_database_url)
    assert await store.report(make_report(assignment, 2, Phase.SUCCEEDED))
    assert await store.count("action_events") == 2

    clock.advance(timedelta(days=31))
    await partitions(store, clock).run_once()
    assert await store.count("action_events") == 0
