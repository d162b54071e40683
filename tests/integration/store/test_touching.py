"""We test how signs of life are noted: many in one commit, and nobody waits for another."""

import asyncio

from sqlalchemy import text

from controlplane.core.clusters import AgentFacts, AgentLoad
from controlplane.store.clusters import ClusterRef, find_wishes, save_cluster
from controlplane.usecases.sessions import SessionRef, Sessions, SupersededError
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName
from tests.factories import NOW, ORG
from tests.integration.store.conftest import CLUSTER, Store

FACTS = AgentFacts(agent_id="a", instance_id="i", software="s", protocol=1, capabilities=())
OTHER = ClusterName("c2")


async def make_sessions(store: Store) -> tuple[Sessions, SessionRef, SessionRef]:
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, OTHER, b"digest-of-c2", NOW)
    sessions = Sessions(store.database, SystemClock())
    one, other = [await sessions.open(ClusterRef(ORG, name), FACTS) for name in (CLUSTER, OTHER)]
    return sessions, one, other


async def test_signs_of_life_are_noted_together_with_what_is_wanted_of_each(store: Store) -> None:
    sessions, *both = await make_sessions(store)
    touches = (
        sessions.touch(session, AgentLoad(held=held, running=0, slots=0, counted_at=NOW))
        for held, session in enumerate(both, 1)
    )
    assert [wishes.takes_work for wishes in await asyncio.gather(*touches)] == [True, True]
    async with store.database.for_org(ORG) as tx:
        rows = await tx.rows(text("SELECT cluster, held FROM clusters WHERE org = :org"))
    assert {row.cluster: row.held for row in rows} == {CLUSTER: 1, OTHER: 2}


async def test_a_busy_cluster_holds_up_no_other(store: Store) -> None:
    sessions, one, other = await make_sessions(store)
    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            assert await find_wishes(tx, one.cluster.name, one.epoch)
            waits = tasks.create_task(sessions.touch(one, AgentLoad()))
            await sessions.touch(other, AgentLoad())
            assert not waits.done()
        await waits


async def test_a_session_that_was_superseded_is_told_among_others(store: Store) -> None:
    sessions, old, other = await make_sessions(store)
    await sessions.open(old.cluster, FACTS)
    told = await asyncio.gather(
        sessions.touch(old, AgentLoad()),
        sessions.touch(other, AgentLoad()),
        return_exceptions=True,
    )
    assert isinstance(told[0], SupersededError)
    assert not isinstance(told[1], BaseException)
