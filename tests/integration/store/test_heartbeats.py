"""Tests of heartbeats: many are recorded in one commit, and locked clusters are skipped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from controlplane.core.clusters import AgentInfo, AgentLoad
from controlplane.core.errors import UnavailableError
from controlplane.store.resources.clusters import ClusterRef, find_spec, save_cluster
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions, SupersededError
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName
from tests.factories import NOW, ORG
from tests.integration.store.conftest import CLUSTER, Store
from tests.running import running

FACTS = AgentInfo(agent_id="a", instance_id="i", software="s", protocol=1, capabilities=())
OTHER = ClusterName("c2")


@asynccontextmanager
async def two_sessions(
    store: Store,
) -> AsyncIterator[tuple[AgentSessions, AgentSessionRef, AgentSessionRef]]:
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, OTHER, b"digest-of-c2", NOW)
    sessions = AgentSessions(store.database, SystemClock())
    async with running(sessions):
        one, other = [
            await sessions.open(ClusterRef(ORG, name), FACTS) for name in (CLUSTER, OTHER)
        ]
        yield sessions, one, other


async def test_heartbeats_of_sessions_are_recorded_in_one_commit_and_return_specs(
    store: Store,
) -> None:
    async with two_sessions(store) as (sessions, *both):
        touches = (
            sessions.record_heartbeat(
                session, AgentLoad(held=leased, running=0, slots=0, counted_at=NOW)
            )
            for leased, session in enumerate(both, 1)
        )
        assert [requests.takes_work for requests in await asyncio.gather(*touches)] == [True, True]
    async with store.database.for_org(ORG) as tx:
        rows = await tx.rows(text("SELECT cluster, held FROM clusters WHERE org = :org"))
    assert {row.cluster: row.held for row in rows} == {CLUSTER: 1, OTHER: 2}


async def test_heartbeats_skip_a_busy_cluster(store: Store) -> None:
    async with two_sessions(store) as (sessions, one, other), asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            assert await find_spec(tx, one.cluster.name, one.epoch)
            waits = tasks.create_task(sessions.record_heartbeat(one, AgentLoad()))
            await sessions.record_heartbeat(other, AgentLoad())
            assert not waits.done()
        await waits


async def test_heartbeat_of_a_superseded_session_is_refused_among_others(store: Store) -> None:
    async with two_sessions(store) as (sessions, old, other):
        await sessions.open(old.cluster, FACTS)
        results = await asyncio.gather(
            sessions.record_heartbeat(old, AgentLoad()),
            sessions.record_heartbeat(other, AgentLoad()),
            return_exceptions=True,
        )
    assert isinstance(results[0], SupersededError)
    assert not isinstance(results[1], BaseException)


async def test_heartbeat_while_the_replica_stops_is_an_unavailable_error(
    store: Store,
) -> None:
    async with two_sessions(store) as (sessions, one, _):
        pass
    with pytest.raises(UnavailableError, match="this replica is stopping"):
        await sessions.record_heartbeat(one, AgentLoad())
