"""We test that leases nobody speaks for go back, whatever one cluster's rows go through."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
from sqlalchemy import text

from controlplane.core.actions import RetryPolicy
from controlplane.core.clusters import AgentFacts
from controlplane.core.tempo import Tempo
from controlplane.loops.leases import LeaseExpiry
from controlplane.store.clusters import ClusterRef, save_cluster
from controlplane.usecases.sessions import Sessions
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.servers.postgres import PostgresForTests

SECOND = timedelta(seconds=1)
TEMPO = Tempo(
    heartbeat=SECOND,
    silent_after=4 * SECOND,
    acceptance=3 * SECOND,
    self_fence=8 * SECOND,
    reassign_after=20 * SECOND,
)
OTHER = ClusterName("c2")
FACTS = AgentFacts(agent_id="a", instance_id="i", software="s", protocol=1, capabilities=())


async def hold(store: Store, clock: FakeClock, cluster: ClusterName) -> None:
    """Have the cluster hold a run's root that may be begun elsewhere."""
    new = make_new_run(f"of-{cluster}")
    spec = replace(new.spec, policy=RetryPolicy(replaceable=True))
    await store.create(replace(new, spec=spec))
    sessions = Sessions(store.database, clock)
    session = await sessions.open(ClusterRef(ORG, cluster), FACTS)
    [held] = await store.claim(cluster=cluster)
    await sessions.settle(session, [(held.attempt, held.lease)], [])


async def end_who_waits_for_a_lock(superuser_url: str, store: Store) -> None:
    await store.until_somebody_waits_for_a_lock()
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


async def test_a_cluster_whose_row_is_locked_holds_up_no_other(
    store: Store, postgres_server: PostgresForTests
) -> None:
    clock = FakeClock(NOW)
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, OTHER, b"digest-of-c2", NOW)
        await tx.connection.execute(text("UPDATE control_clock SET ticked_at = :now"), {"now": NOW})
    for cluster in (CLUSTER, OTHER):
        await hold(store, clock, cluster)
    expiry = LeaseExpiry(store.database, clock, TEMPO)
    for _ in range(10):
        clock.advance(5 * TEMPO.passes)
        assert await expiry.run_once() == 0
    clock.advance(5 * TEMPO.passes)
    async with asyncio.TaskGroup() as tasks, store.database.for_org(ORG) as tx:
        lock = "SELECT 1 FROM clusters WHERE org = :org AND cluster = :name FOR SHARE"
        await tx.rows(text(lock), {"name": CLUSTER})
        expiring = tasks.create_task(expiry.run_once())
        await end_who_waits_for_a_lock(postgres_server.superuser_url, store)
        assert await expiring == 1
    assert await expiry.run_once() == 1


async def test_what_was_aborted_before_it_was_accepted_is_over_and_its_place_offered(
    store: Store,
) -> None:
    clock = FakeClock(NOW)
    run = await store.create(make_new_run())
    assert len(await store.claim()) == 1
    await store.abort(run)
    clock.advance(TEMPO.acceptance + SECOND)
    async with store.listening() as heard:
        await LeaseExpiry(store.database, clock, TEMPO).run_once()
        assert (await heard.get()).work
    assert await store.count("dispatches") == 0
    [attempt] = (await store.detail(run)).attempts
    assert attempt.phase is Phase.ABORTED
