"""Tests of lease expiry: one cluster's locked or failing rows delay no other cluster."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.actions import RetryPolicy
from controlplane.core.clusters import AgentInfo
from controlplane.core.link_timings import LinkTimings
from controlplane.loops import leases as leases_loop
from controlplane.loops.leases import LeaseExpiry
from controlplane.store.resources.clusters import ClusterRef, save_cluster
from controlplane.usecases.agent_sessions import AgentSessions
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_action, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.servers.postgres import PostgresForTests

SECOND = timedelta(seconds=1)
TIMINGS = LinkTimings(
    heartbeat=SECOND,
    silent_after=4 * SECOND,
    acceptance=3 * SECOND,
    self_fence=8 * SECOND,
    reassign_after=20 * SECOND,
)
OTHER = ClusterName("c2")
FACTS = AgentInfo(agent_id="a", instance_id="i", software="s", protocol=1, capabilities=())


async def hold(store: Store, clock: FakeClock, cluster: ClusterName, *, children: int = 0) -> None:
    """Lease a run's root and children to the cluster; they are replaceable."""
    new = make_new_run(f"of-{cluster}")
    spec = replace(new.spec, policy=RetryPolicy(replaceable=True))
    await store.create(replace(new, spec=spec))
    made = (make_new_action(f"n{number}", run=f"of-{cluster}") for number in range(children))
    await store.enqueue(*(replace(each, spec=spec) for each in made))
    sessions = AgentSessions(store.database, clock)
    session = await sessions.open(ClusterRef(ORG, cluster), FACTS)
    leased = await store.claim(1 + children, cluster=cluster)
    assert len(leased) == 1 + children
    await sessions.commit_reports(session, [(each.attempt, each.lease) for each in leased], [])


async def start_clock(store: Store) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.connection.execute(text("UPDATE control_clock SET ticked_at = :now"), {"now": NOW})


async def pass_until_expired(clock: FakeClock, expiry: LeaseExpiry) -> None:
    """Advance the lease clock until the next pass is the one that expires leases."""
    for _ in range(10):
        clock.advance(5 * TIMINGS.passes)
        assert await expiry.run_once() == 0
    clock.advance(5 * TIMINGS.passes)


async def terminate_lock_waiters(superuser_url: str, store: Store) -> None:
    await store.until_a_lock_is_waited_for()
    async with store.database.for_org(ORG) as tx:
        [name] = await tx.rows(text("SELECT current_database() AS name"))
    superuser = await asyncpg.connect(superuser_url)
    try:
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = $1 AND wait_event_type = 'Lock'",
            name.name,
        )
    finally:
        await superuser.close()


async def test_lease_expiry_skips_a_cluster_whose_row_is_locked(
    store: Store, postgres_server: PostgresForTests
) -> None:
    clock = FakeClock(NOW)
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, OTHER, b"digest-of-c2", NOW)
    await start_clock(store)
    for cluster in (CLUSTER, OTHER):
        await hold(store, clock, cluster)
    expiry = LeaseExpiry(store.database, clock, TIMINGS)
    await pass_until_expired(clock, expiry)
    async with asyncio.TaskGroup() as tasks, store.database.for_org(ORG) as tx:
        lock = "SELECT 1 FROM clusters WHERE org = :org AND cluster = :name FOR SHARE"
        await tx.rows(text(lock), {"name": CLUSTER})
        expiring = tasks.create_task(expiry.run_once())
        await terminate_lock_waiters(postgres_server.superuser_url, store)
        assert await expiring == 1
    assert await expiry.run_once() == 1


async def test_unaccepted_lease_of_an_aborted_action_ends_and_frees_its_slot(
    store: Store,
) -> None:
    clock = FakeClock(NOW)
    run = await store.create(make_new_run())
    assert len(await store.claim()) == 1
    await store.abort(run)
    clock.advance(TIMINGS.acceptance + SECOND)
    async with store.listening() as received:
        await LeaseExpiry(store.database, clock, TIMINGS).run_once()
        assert (await received.get()).work
    assert await store.count("dispatches") == 0
    [attempt] = (await store.detail(run)).attempts
    assert attempt.phase is Phase.ABORTED


@pytest.mark.parametrize("children", [0, 599])
async def test_expired_leases_of_a_locked_run_hide_no_other_cluster(
    store: Store, children: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_loop, "CLUSTERS_AT_ONCE", 1)
    clock = FakeClock(NOW)
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, OTHER, b"digest-of-c2", NOW)
    await start_clock(store)
    await hold(store, clock, CLUSTER, children=children)
    await hold(store, clock, OTHER)
    expiry = LeaseExpiry(store.database, clock, TIMINGS)
    await pass_until_expired(clock, expiry)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text("SELECT 1 FROM runs WHERE run = 'of-c1' FOR UPDATE"))
        assert await expiry.run_once() == 1
    assert await expiry.run_once() == 1 + children


async def read_served(store: Store) -> timedelta:
    async with store.database.for_org(ORG) as tx:
        [row] = await tx.rows(text("SELECT served FROM control_clock"))
    served: timedelta = row.served
    return served


async def test_lease_clock_advances_while_leases_cannot_be_returned(
    store: Store, postgres_server: PostgresForTests
) -> None:
    clock = FakeClock(NOW)
    await start_clock(store)
    run = await store.create(make_new_run())
    assert len(await store.claim()) == 1
    await store.abort(run)
    clock.advance(TIMINGS.acceptance + SECOND)
    before = await read_served(store)
    expiry = LeaseExpiry(store.database, clock, TIMINGS)
    async with asyncio.TaskGroup() as tasks, store.database.for_org(ORG) as tx:
        await tx.rows(text("SELECT 1 FROM attempts FOR UPDATE"))
        passing = tasks.create_task(expiry.run_once())
        await terminate_lock_waiters(postgres_server.superuser_url, store)
        assert await passing == 0
    assert await read_served(store) > before
    assert await expiry.run_once() == 1
