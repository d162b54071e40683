"""
Simulates Postgres: transactions on the model, with latency, failures and notifications.

A transaction may fail before its commit or after it: in the latter case it is committed, and the
caller does not know.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TypeVar

from controlplane.core.clusters import AgentInfo, AgentLoad, ClusterSpec
from controlplane.core.errors import UnavailableError
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.forwarded_calls import ForwardedCallId
from controlplane.core.link_timings import LinkTimings
from controlplane.core.queues import ANY_POOL
from controlplane.loops.periodic import run_periodically
from controlplane.store.notify.changes import Notification, parse_notification, payloads
from controlplane.store.resources.clusters import ClusterRef
from controlplane.usecases.agent_sessions import (
    AgentSessionRef,
    AgentSessions,
    CommittedReports,
    HandOut,
)
from controlplane.usecases.forwarded_calls import ForwardedCalls
from shared.kit.clock import Clock
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, ClusterName, Digest, LeaseId
from shared.model.link_messages import InventoryDecision
from shared.model.reports import Report
from tests.factories import ORG
from tests.simulation.loop import SimLoop
from tests.simulation.model import ModelStore
from tests.simulation.rows import Epoch

T = TypeVar("T")

CLUSTERS = tuple(ClusterRef(ORG, ClusterName(name)) for name in ("c1", "c2"))
REQUESTS = ClusterSpec(version=0, cordoned=False, draining=False, pool="")
_NOTICE = parse_notification(
    payloads(ORG, [], work=[ANY_POOL], stops=[each.name for each in CLUSTERS])[0]
)


class SimPostgres:
    def __init__(self, loop: SimLoop, store: ModelStore, chance: Random) -> None:
        self.store = store
        self.is_down = False
        self.slow = 0.0  # maximum of seconds that a transaction takes in addition
        self.broken = 0.0  # the share of transactions that lose their connection
        self._loop = loop
        self._chance = chance
        self._listeners: list[asyncio.Queue[Notification | None]] = []
        store.report_status = self._tell

    async def run(self, transaction: Callable[[], T]) -> T:
        await asyncio.sleep(self._latency())
        self._require_up()
        if self._chance.random() < self.broken / 2:
            raise UnavailableError("the connection broke before the commit")
        done = transaction()
        await asyncio.sleep(self._latency())
        if self.is_down or self._chance.random() < self.broken / 2:
            raise UnavailableError("the connection broke after the commit")
        return done

    async def listen(self) -> AsyncGenerator[Notification | None, None]:
        """Yield notifications as a replica receives them; None at first and after each break."""
        received: asyncio.Queue[Notification | None] = asyncio.Queue()
        self._listeners.append(received)
        yield None
        while True:
            yield await received.get()

    def break_listening(self) -> None:
        """Lose pending notifications; listeners reconnect and read everything."""
        for received in self._listeners:
            while not received.empty():
                received.get_nowait()
            self._loop.call_in_world(self._loop.time() + 0.2, received.put_nowait, None)

    def _tell(self) -> None:
        for received in self._listeners:
            at = self._loop.time() + self._chance.uniform(0.001, 0.02)
            if not self.is_down:
                self._loop.call_in_world(at, received.put_nowait, _NOTICE)

    def _require_up(self) -> None:
        if self.is_down:
            raise UnavailableError("the database cannot be reached; try again")

    def _latency(self) -> float:
        return self._chance.uniform(0.0005, 0.005) + self._chance.uniform(0, self.slow)


class SimAgentSessions(AgentSessions):
    """``usecases.agent_sessions`` on the model."""

    def __init__(self, postgres: SimPostgres, specs: Mapping[Digest, bytes], clock: Clock) -> None:
        self._postgres = postgres
        self._store = postgres.store
        self._specs = specs
        self._now = clock.now
        self._identities = None

    async def authenticate(self, token: str) -> ClusterRef:
        named = {each.name: each for each in CLUSTERS}
        return await self._postgres.run(lambda: named[ClusterName(token)])

    async def open(
        self, cluster: ClusterRef, agent: AgentInfo, *, serial: str = ""
    ) -> AgentSessionRef:
        del agent, serial
        epoch = await self._postgres.run(lambda: self._store.open_session(cluster.name))
        return AgentSessionRef(cluster, epoch)

    async def require_cluster(self, cluster: ClusterRef) -> None:
        await self._postgres.run(
            lambda: cluster
        )  # no cluster is deleted, but the answer may be late

    async def close(self, session: AgentSessionRef) -> None:
        await self._postgres.run(lambda: self._store.close_session(_epoch(session)))

    async def reconcile_inventory(
        self, session: AgentSessionRef, inventory: Sequence[tuple[AttemptId, LeaseId]]
    ) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
        return await self._postgres.run(
            lambda: self._store.reconcile_inventory(_epoch(session), inventory)
        )

    async def hand_out(
        self, session: AgentSessionRef, most: int, scheduler: FairScheduler
    ) -> HandOut:
        del scheduler  # the order of work is irrelevant to these invariants
        return await self._postgres.run(lambda: self._hand_out(session, most))

    def _hand_out(self, session: AgentSessionRef, most: int) -> HandOut:
        claimed: Sequence[Assignment] = ()
        if most:
            claimed = self._store.claim(_epoch(session), most, self._now())
        if claimed:
            return HandOut(spec=REQUESTS, assignments=claimed)
        stops = self._store.list_stops(_epoch(session))
        next_at = self._store.next_at() if most else None
        return HandOut(spec=REQUESTS, stops=stops, next_at=next_at)

    async def find_specs(
        self, session: AgentSessionRef, digests: Collection[Digest]
    ) -> Mapping[Digest, bytes]:
        del session
        return await self._postgres.run(lambda: {each: self._specs[each] for each in digests})

    async def commit_reports(
        self,
        session: AgentSessionRef,
        accepted: Collection[tuple[AttemptId, LeaseId]],
        reports: Sequence[Report],
    ) -> CommittedReports:
        noted, answers = await self._postgres.run(
            lambda: self._store.commit_reports(
                _epoch(session), list(accepted), reports, self._now()
            )
        )
        return CommittedReports(accepted=noted, acknowledged=answers)

    async def record_heartbeat(self, session: AgentSessionRef, load: AgentLoad) -> ClusterSpec:
        del load
        await self._postgres.run(lambda: self._store.record_heartbeat(_epoch(session)))
        return REQUESTS


def _epoch(session: AgentSessionRef) -> Epoch:
    return Epoch(session.cluster.name, session.epoch)


class SimRelays(ForwardedCalls):
    """``usecases.forwarded_calls`` without any calls."""

    def __init__(self, postgres: SimPostgres) -> None:
        self._postgres = postgres

    async def claim(self, session: AgentSessionRef) -> Mapping[ForwardedCallId, bytes]:
        def claim() -> Mapping[ForwardedCallId, bytes]:
            self._postgres.store.require_current(_epoch(session))
            return {}

        return await self._postgres.run(claim)


class SimLeaseExpiry:
    """``loops.leases`` on the model: the same transactions in the same order."""

    def __init__(self, postgres: SimPostgres, clock: Clock, timings: LinkTimings) -> None:
        self._postgres = postgres
        self._store = postgres.store
        self._clock = clock
        self._timings = timings

    async def run(self) -> None:
        every = self._timings.passes
        await run_periodically("lease expiry", self.run_once, every=every, clock=self._clock)

    async def run_once(self) -> int:
        now = self._clock.now()
        returned = await self._postgres.run(lambda: self._look_through(now))
        for cluster in CLUSTERS:
            returned += await self._postgres.run(partial(self._expire, cluster.name, now))
        return returned

    def _expire(self, cluster: ClusterName, now: datetime) -> int:
        return self._store.expire(cluster, self._timings.reassign_after, now)

    def _look_through(self, now: datetime) -> int:
        self._store.tick(now, most=5 * self._timings.passes)
        self._store.note_silent(self._timings.silent_after)
        return self._store.return_late(now - self._timings.acceptance)


class SimClock:
    """A node's own clock: it advances with virtual time, with an offset that faults set."""

    def __init__(self, loop: SimLoop, epoch: datetime) -> None:
        self.ahead = timedelta(0)
        self._loop = loop
        self._epoch = epoch

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._loop.time()) + self.ahead

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(delay.total_seconds())
