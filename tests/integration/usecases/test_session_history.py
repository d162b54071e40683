"""History of agents' sessions: epochs, ends, certificates, and its limit."""

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.clusters import AgentInfo, AgentLoad, SessionEnd
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.store.agents import sessions as store_sessions
from controlplane.store.resources.clusters import ClusterRef, record_heartbeat
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.clusters import Clusters
from shared.model.ids import ClusterName
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store, store

__all__ = ["store"]

OPERATOR = Caller(subject=Subject("operator"), org=ORG, name="", grants=org_wide(EVERYTHING))
REF = ClusterRef(ORG, CLUSTER)
AGENT = AgentInfo(agent_id="a", instance_id="i", software="1.0")


async def test_sessions_are_listed_with_their_epoch_and_end(store: Store) -> None:
    clock = FakeClock(NOW)
    sessions, clusters = AgentSessions(store.database, clock), Clusters(store.database, clock)
    first = await sessions.open(REF, AGENT)
    clock.advance(timedelta(minutes=1))
    await sessions.close(first)
    clock.advance(timedelta(minutes=1))
    lost = await sessions.open(REF, replace(AGENT, instance_id="j", software="1.1"))
    clock.advance(timedelta(minutes=1))
    async with store.database.for_org(ORG) as tx:
        await record_heartbeat(tx, CLUSTER, lost.epoch, AgentLoad(), clock.now())
    clock.advance(timedelta(hours=1))  # its replica has died: nothing closed it
    last = await sessions.open(REF, AGENT)

    found, after = await clusters.list_sessions(OPERATOR, CLUSTER)

    assert after == ""
    assert [each.epoch for each in found] == [last.epoch, lost.epoch, first.epoch]
    assert [each.ended_because for each in found] == [
        None,
        SessionEnd.SUPERSEDED,
        SessionEnd.CLOSED,
    ]
    assert [each.ended_at for each in found] == [
        None,
        NOW + timedelta(minutes=3),  # its last heartbeat
        NOW + timedelta(minutes=1),
    ]
    assert (found[1].instance_id, found[1].software) == ("j", "1.1")


async def test_late_close_of_a_superseded_session_changes_nothing(store: Store) -> None:
    clock = FakeClock(NOW)
    sessions, clusters = AgentSessions(store.database, clock), Clusters(store.database, clock)
    old = await sessions.open(REF, AGENT)
    await sessions.open(REF, AGENT)
    before = await clusters.list_sessions(OPERATOR, CLUSTER)
    clock.advance(timedelta(minutes=1))
    await sessions.close(old)
    assert await clusters.list_sessions(OPERATOR, CLUSTER) == before


async def test_oldest_sessions_of_a_cluster_are_forgotten(store: Store) -> None:
    clock = FakeClock(NOW)
    sessions, clusters = AgentSessions(store.database, clock), Clusters(store.database, clock)
    for _ in range(store_sessions.KEPT + 5):
        await sessions.open(REF, AGENT)

    pages: list[list[int]] = []
    after = ""
    while True:
        page, after = await clusters.list_sessions(OPERATOR, CLUSTER, limit=90, after=after)
        pages.append([each.epoch for each in page])
        if not after:
            break

    newest = store_sessions.KEPT + 5
    assert [len(page) for page in pages] == [90, 90, 20]
    assert [epoch for page in pages for epoch in page] == list(
        range(newest, newest - store_sessions.KEPT, -1)
    )


async def test_sessions_of_an_unknown_cluster_or_page_are_refused(store: Store) -> None:
    clusters = Clusters(store.database, FakeClock(NOW))
    with pytest.raises(NotFoundError):
        await clusters.list_sessions(OPERATOR, ClusterName("none"))
    for token in ("x", "-1", "9" * 19, "٣"):
        with pytest.raises(InvalidError, match="page_token"):
            await clusters.list_sessions(OPERATOR, CLUSTER, after=token)
