"""We test how many transactions a notice of work costs, counted by cluster."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import uuid4

import pytest

from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.queues import Queue
from controlplane.store.dispatch import drains
from controlplane.store.resources.clusters import save_cluster
from controlplane.store.resources.queues import save_queue
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions, HandOut
from shared.idl.agent.v1 import assignment_pb2, link_pb2
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId
from tests.factories import NOW, ORG, make_new_run
from tests.integration.link.conftest import Agent, LinkUnderTest, calling, make_leases

CREDIT = link_pb2.Credit(total=100)


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the transactions in which sessions look for work."""
    counted = Counter[str]()
    hand_out = AgentSessions.hand_out

    async def counting(
        self: AgentSessions, session: AgentSessionRef, most: int, scheduler: FairScheduler
    ) -> HandOut:
        counted[session.cluster.name] += 1
        return await hand_out(self, session, most, scheduler)

    monkeypatch.setattr(AgentSessions, "hand_out", counting)
    return counted


@pytest.fixture
async def agents(link: LinkUnderTest) -> AsyncIterator[dict[str, Agent]]:
    """Twenty clusters in the pool of a queue, five of them with credit, and two elsewhere."""
    pools = {f"c{number}": "here" for number in range(20)} | {"idle": "here", "far": "there"}
    async with link.store.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="q", pool="here"), NOW)
        for name, pool in pools.items():
            cluster = ClusterName(f"x-{name}")
            await save_cluster(tx, cluster, hashlib.sha256(name.encode()).digest(), NOW)
            await drains.move(tx, cluster, pool)
        await drains.cordon(tx, ClusterName("x-idle"))
    async with AsyncExitStack() as stack:
        made: dict[str, Agent] = {}
        for name in pools:
            made[name] = await stack.enter_async_context(calling(link, name))
            await made[name].open()
        for name in ("c0", "c1", "c2", "c3", "c4", "idle", "far"):
            await made[name].say(credit=CREDIT)
        yield made


def make_strange() -> assignment_pb2.Accepted:
    """Accept an unknown lease: it is answered once all frames before it have been read."""
    strange = [(AttemptId(ActionId(uuid4()), 1), LeaseId(uuid4()))]
    return assignment_pb2.Accepted(leases=make_leases(strange))


async def commit_reports(agents: dict[str, Agent], claims: Counter[str]) -> None:
    """Return once no session looks for work any more."""
    before = None
    while before != claims:
        before = claims.copy()
        for _ in range(3):
            for agent in agents.values():
                await agent.say(accepted=make_strange())
                while (frame := await agent.hear_any()) is not None and not frame.HasField("stops"):
                    pass  # what was leased to it


async def test_work_notification_wakes_only_sessions_with_credit_in_its_pool(
    link: LinkUnderTest, agents: dict[str, Agent], claims: Counter[str]
) -> None:
    await commit_reports(agents, claims)
    before = claims.copy()
    await link.store.create(replace(make_new_run(), queue="q"))
    await commit_reports(agents, claims)
    woken = claims - before
    assert set(woken) == {f"x-c{number}" for number in range(5)}
    # The one that leased it looks for more; each other looks once, or again once it saw a lock.
    assert woken.total() <= 3 * 5


async def test_credit_granted_after_a_work_notification_leases_the_work(
    link: LinkUnderTest,
) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.be_heard()
        await link.store.create(make_new_run())
        await agent.be_heard()
        async with asyncio.timeout(12):  # it looks for work every fifteen seconds, told or not
            await agent.take(1)
