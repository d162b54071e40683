"""Background loops: every pass may run on three replicas at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Protocol

from sqlalchemy import text

from controlplane.core.clusters import AgentInfo
from controlplane.core.link_timings import LinkTimings
from controlplane.loops.cascades import Cascades
from controlplane.loops.leases import LeaseExpiry
from controlplane.loops.partitions import EventPartitions
from controlplane.loops.stale_calls import StaleCallReaper
from controlplane.loops.timeouts import Timeouts
from controlplane.store.dispatch import dispatches
from controlplane.store.resources.clusters import open_agent_session
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store

TIMINGS = LinkTimings()
EVERY = timedelta(hours=1)


class Pass(Protocol):
    async def run_once(self) -> int: ...


async def three(run_once: Callable[[], Awaitable[int]]) -> Sequence[int]:
    return await asyncio.gather(*(run_once() for _ in range(3)))


def expiry(store: Store, clock: FakeClock) -> LeaseExpiry:
    return LeaseExpiry(store.database, clock, TIMINGS)


async def start_clock(store: Store) -> None:
    """Set the lease clock to the time of the test."""
    async with store.database.for_fleet("a test") as tx:
        await tx.connection.execute(
            text("UPDATE control_clock SET ticked_at = :now, served = '0'"), {"now": NOW}
        )


async def served(store: Store) -> timedelta:
    async with store.database.for_fleet("a test") as tx:
        row = (await tx.connection.execute(text("SELECT served FROM control_clock"))).one()
    found: timedelta = row.served
    return found


async def connect(store: Store) -> None:
    async with store.database.for_org(ORG) as tx:
        agent = AgentInfo(agent_id="a", instance_id="i", software="test")
        await open_agent_session(tx, CLUSTER, agent, NOW)


async def accept(store: Store, leased: Sequence[Assignment]) -> None:
    async with store.database.for_org(ORG) as tx:
        kept = [(each.attempt, each.lease) for each in leased]
        await dispatches.accept(tx, CLUSTER, kept, NOW)


async def test_lease_clock_counts_time_once_on_three_replicas(store: Store) -> None:
    await start_clock(store)
    clock = FakeClock(NOW)
    for _ in range(10):
        clock.advance(timedelta(seconds=1))
        await three(expiry(store, clock).run_once)
    assert await served(store) == timedelta(seconds=10)


async def test_unaccepted_leases_are_requeued_once_on_three_replicas(store: Store) -> None:
    await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"c{number}") for number in range(60)))
    leased = await store.claim(100)
    assert len(leased) == 61

    clock = FakeClock(NOW + TIMINGS.acceptance + timedelta(seconds=1))
    assert sum(await three(expiry(store, clock).run_once)) == 61
    again = await store.claim(100, now=clock.now())
    assert {each.attempt for each in again} == {each.attempt for each in leased}


async def test_lease_missing_from_inventory_fails_once_on_three_replicas(store: Store) -> None:
    await start_clock(store)
    run = await store.create(make_new_run())
    await store.enqueue(*(make_new_action(f"c{number}") for number in range(30)))
    await connect(store)
    leased = await store.claim(100)
    await accept(store, leased)
    async with store.database.for_org(ORG) as tx:
        missing = [each.attempt.action for each in leased if each.key.name != "a0"]
        await dispatches.note_missing(tx, CLUSTER, missing)

    clock = FakeClock(NOW)
    expired = 0
    for _ in range(40):
        clock.advance(timedelta(seconds=10))
        async with store.database.for_org(ORG) as tx:  # the agent sends a heartbeat
            await tx.execute(
                text("UPDATE clusters SET seen_served = (SELECT served FROM control_clock)")
            )
        expired += sum(await three(expiry(store, clock).run_once))
    assert expired == 30
    for number in range(30):
        detail = await store.detail(run, f"c{number}")
        assert (detail.row.phase, detail.row.attempts) == (Phase.QUEUED, 2)
        first, *others = detail.attempts
        assert first.phase is Phase.FAILED
        assert others == []


async def test_event_partitions_are_created_and_dropped_on_three_replicas(store: Store) -> None:
    clock = FakeClock(NOW)
    days = EventPartitions(store.database, clock, keep=timedelta(days=3), every=EVERY)
    assert sum(await three(days.run_once)) == 7
    for _ in range(8):
        clock.advance(timedelta(days=1))
        assert sum(await three(days.run_once)) in {1, 2}  # one is created; later one is dropped


async def test_loops_run_concurrently_with_each_other_and_with_work(store: Store) -> None:
    """Deadlocks would show as errors here: nothing in this test is ever refused."""
    await start_clock(store)
    await store.create(make_new_run())
    await connect(store)
    clock = FakeClock(NOW)
    passes: list[Pass] = [
        expiry(store, clock),
        Timeouts(store.database, clock, every=EVERY),
        EventPartitions(store.database, clock, keep=timedelta(days=1), every=EVERY),
        StaleCallReaper(store.database, clock, every=EVERY),
        Cascades(store.database, lambda _: nullcontext(), clock, every=EVERY),
    ]
    ended = 0
    for turn in range(12):
        await store.enqueue(*(make_new_action(f"t{turn}-{number}") for number in range(20)))
        leased = await store.claim(100)
        await accept(store, leased)
        reports = [make_report(each, 1, Phase.SUCCEEDED) for each in leased if each.parent]
        clock.advance(timedelta(hours=3))
        async with asyncio.TaskGroup() as tasks:
            for each in passes * 3:
                tasks.create_task(each.run_once())
            for start in range(0, len(reports), 5):
                tasks.create_task(store.report(*reports[start : start + 5]))
        ended += len(reports)
    assert ended == 240
