"""Operations of an operator on a store, with an agent's session for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.clusters import AgentInfo, AgentLoad
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.store.resources.clusters import ClusterRef
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.queues import Queues
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.running import running

OPERATOR = Caller(subject=Subject("operator"), org=ORG, name="", grants=org_wide(EVERYTHING))


@dataclass(slots=True)
class Agent:
    """An agent's session for tests."""

    sessions: AgentSessions
    session: AgentSessionRef
    clock: FakeClock
    scheduler: FairScheduler = field(default_factory=FairScheduler)

    async def take(self, most: int = 10) -> list[Assignment]:
        return list((await self.sessions.hand_out(self.session, most, self.scheduler)).assignments)

    async def accept(self, *assignments: Assignment) -> None:
        accepted = [(each.attempt, each.lease) for each in assignments]
        await self.sessions.commit_reports(self.session, accepted, [])

    async def say(self, *, held: int, running: int, slots: int = 10) -> None:
        now = self.clock.now()
        load = AgentLoad(held=held, running=running, slots=slots, counted_at=now)
        await self.sessions.record_heartbeat(self.session, load)


@dataclass(slots=True)
class Operations:
    store: Store
    clock: FakeClock
    clusters: Clusters
    queues: Queues
    explanations: Explanations
    sessions: AgentSessions

    @classmethod
    @asynccontextmanager
    async def on(cls, store: Store, clock: FakeClock) -> AsyncIterator[Self]:
        operations = cls(
            store=store,
            clock=clock,
            clusters=Clusters(store.database, clock),
            queues=Queues(store.database, clock),
            explanations=Explanations(store.database, clock),
            sessions=AgentSessions(store.database, clock),
        )
        async with running(operations.sessions):
            yield operations

    async def connect(self, cluster: ClusterName = CLUSTER) -> Agent:
        timings = AgentInfo(
            agent_id="a", instance_id="i", software="test 1.0", protocol=1, capabilities=["python"]
        )
        session = await self.sessions.open(ClusterRef(ORG, cluster), timings)
        agent = Agent(self.sessions, session, self.clock)
        await agent.say(held=0, running=0)
        return agent
