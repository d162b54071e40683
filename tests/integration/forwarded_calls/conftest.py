"""Two replicas in one process: each has its own pool, its own ear, and sessions or none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest

from controlplane.core.clusters import AgentInfo
from controlplane.feeds.feeds import Feeds
from controlplane.link.forwarded_calls import Agents, ForwardedCallServer
from controlplane.link.frames import render_follow_logs
from controlplane.link.live_calls import FIRST_CREDIT, Calls, LiveCalls
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch_tables import relay_replies, relays
from controlplane.store.notify.notifications import listen
from controlplane.store.resources.clusters import ClusterRef, save_cluster, save_org
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions
from controlplane.usecases.forwarded_calls import ForwardedCalls
from shared.idl.agent.v1 import call_pb2, link_pb2
from shared.kit.clock import SystemClock
from shared.kit.uuids import new_uuid
from shared.kit.wakeup import Wakeup
from shared.model.ids import ActionId, AttemptId, ClusterName, OrgName
from tests.factories import NOW, ORG
from tests.running import running

CLUSTER = ClusterName("c1")
FACTS = AgentInfo(agent_id="a", instance_id="i", software="test")
REQUEST = render_follow_logs(AttemptId(ActionId(new_uuid(NOW)), 1), 0)


@dataclass(slots=True)
class Stream:
    """An agent at the other end: the frames it was sent, and what it answers."""

    session: AgentSessionRef
    calls: Calls
    sent: list[link_pb2.ControlFrame]
    answering: "asyncio.Task[None] | None" = None

    def stop_answering(self) -> None:
        if self.answering is not None:
            self.answering.cancel()

    def of_kind(self, kind: str) -> list[link_pb2.ControlFrame]:
        return [frame for frame in self.sent if frame.WhichOneof("frame") == kind]

    async def called(self, times: int = 1) -> int:
        """Wait until it is called so often; return the latest call's number."""
        await until(lambda: len(self.of_kind("call")) >= times)
        return self.of_kind("call")[times - 1].call.id

    def credit(self, call: int) -> int:
        """Return how many chunks it was allowed to send beyond the first eight."""
        given = [frame.call_credit for frame in self.of_kind("call_credit")]
        return sum(credit.chunks for credit in given if credit.id == call)

    def say(self, call: int, text: str) -> None:
        chunk = call_pb2.LogChunk(lines=[call_pb2.LogLine(text=text)])
        self.calls.take(call_pb2.Reply(id=call, log_chunk=chunk))

    async def say_all(self, call: int, count: int) -> None:
        """Say so many lines as fast as the credit allows, and then that this was all."""
        for number in range(count):
            while number >= FIRST_CREDIT + self.credit(call):  # noqa: ASYNC110 - as in until
                await asyncio.sleep(0.002)
            self.say(call, str(number))
        self.end(call)

    def end(self, call: int) -> None:
        self.calls.take(call_pb2.Reply(id=call, done=call_pb2.Done()))


@dataclass(frozen=True, slots=True)
class Replica:
    database: Database
    feeds: Feeds
    relays: ForwardedCalls
    live: LiveCalls
    agents: Agents
    sessions: AgentSessions

    def ask(self, org: OrgName = ORG) -> AsyncGenerator[call_pb2.Reply, None]:
        return self.agents.ask((org, CLUSTER), REQUEST)

    @asynccontextmanager
    async def connected(self, org: OrgName = ORG, *, deaf: bool = False) -> AsyncIterator[Stream]:
        """Have a session here for the length of a block; a deaf one is asked nothing."""
        session = await self.sessions.open(ClusterRef(org, CLUSTER), FACTS)
        sent: list[link_pb2.ControlFrame] = []
        stream = Stream(session, Calls(sent.append), sent)
        self.live.add((org, CLUSTER), stream.calls)
        async with asyncio.TaskGroup() as tasks:
            if not deaf:
                answering = ForwardedCallServer(stream.calls, self.relays, self.feeds)
                stream.answering = tasks.create_task(answering.run(session))
            try:
                yield stream
            finally:
                self.live.remove((org, CLUSTER), stream.calls)
                stream.calls.close()
                stream.stop_answering()

    async def left(self) -> tuple[int, int]:
        """Count the calls and the replies that lie in the store, of all orgs."""
        async with self.database.for_fleet("a test looks") as tx:
            found = [
                len((await tx.connection.execute(table.select())).all())
                for table in (relays, relay_replies)
            ]
        return found[0], found[1]


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[tuple[Replica, Replica]]:
    async with replica(database_url) as one, replica(database_url) as other:
        for org in (ORG, OrgName("other")):
            async with one.database.for_org(org) as tx:
                await save_org(tx, NOW)
                await save_cluster(tx, CLUSTER, org.encode(), NOW)
        yield one, other


@asynccontextmanager
async def replica(database_url: str) -> AsyncIterator[Replica]:
    clock = SystemClock()
    database = open_database(database_url, pool_size=4)
    feeds = Feeds(database, partial(listen, database_url))
    asked = ForwardedCalls(database, clock)
    live = LiveCalls()
    async with running(feeds, at_most=60):
        wakeup = Wakeup()
        with feeds.work(ORG, CLUSTER, wakeup):
            await wakeup.wait(timedelta(seconds=5))  # it rings once they listen
        yield Replica(
            database, feeds, asked, live, Agents(live, asked, feeds), AgentSessions(database, clock)
        )
    await database.close()


async def until(fact: Callable[[], bool]) -> None:
    """Return once ``fact`` holds; ten seconds are too long."""
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - facts of many kinds, and none tells us
            await asyncio.sleep(0.005)
