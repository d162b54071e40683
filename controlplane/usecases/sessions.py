"""
What an agent's session may ask: work, and to have its word taken.

Every method but the first two names the session's epoch, and checks it in the transaction
that writes: a session that has been superseded writes nothing any more.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.errors import UnauthenticatedError
from controlplane.core.sessions import HeldLease
from controlplane.store import clusters, dispatches
from controlplane.store.clusters import ClusterRef
from controlplane.store.database import Database, OrgTx
from controlplane.store.reports import apply_reports
from controlplane.store.specs import find_specs
from shared.kit.clock import Clock
from shared.model.assignments import Assignment
from shared.model.ids import ActionId, AttemptId, Digest, LeaseId
from shared.model.reports import Acknowledgement, Report


class SupersededError(Exception):
    """A newer session of the same cluster has begun; this one is over."""


@dataclass(frozen=True, slots=True)
class SessionRef:
    """A session as the store knows it."""

    cluster: ClusterRef
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """Who says hello."""

    agent_id: str
    instance_id: str
    software: str


class Sessions:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def authenticate(self, token: str) -> ClusterRef:
        """Return whose agent holds the token; UnauthenticatedError when nobody's does."""
        digest = hashlib.sha256(token.encode()).digest()
        async with self._database.for_fleet("authenticate an agent") as tx:
            cluster = await clusters.find_by_token(tx, digest)
        if cluster is None:
            raise UnauthenticatedError("no cluster has this token; give the agent a valid one")
        return cluster

    async def open(self, cluster: ClusterRef, agent: AgentFacts) -> SessionRef:
        """Begin a session; every older one of the cluster is superseded from now on."""
        async with self._database.for_org(cluster.org) as tx:
            epoch = await clusters.open_session(
                tx,
                cluster.name,
                agent_id=agent.agent_id,
                instance_id=agent.instance_id,
                software=agent.software,
                now=self._clock.now(),
            )
        return SessionRef(cluster, epoch)

    async def list_leases(self, session: SessionRef) -> Mapping[ActionId, HeldLease]:
        """List what the store says the cluster holds."""
        async with self._current(session) as tx:
            return await dispatches.list_leases(tx, session.cluster.name)

    async def list_unaccepted(self, session: SessionRef) -> Sequence[Assignment]:
        """List what was leased to the cluster and never accepted: it is to be said again."""
        async with self._current(session) as tx:
            return await dispatches.list_unaccepted(tx, session.cluster.name)

    async def claim(self, session: SessionRef, most: int) -> Sequence[Assignment]:
        """Lease up to ``most`` waiting attempts to the cluster."""
        async with self._current(session) as tx:
            return await dispatches.claim(
                tx, session.cluster.name, most=most, now=self._clock.now()
            )

    async def find_specs(
        self, session: SessionRef, digests: Collection[Digest]
    ) -> Mapping[Digest, bytes]:
        async with self._database.for_org(session.cluster.org) as tx:
            return await find_specs(tx, digests)

    async def find_next_available(self, session: SessionRef) -> datetime | None:
        """Say when the earliest waiting attempt may be leased; None when nothing waits."""
        async with self._database.for_org(session.cluster.org) as tx:
            return await dispatches.find_next_available(tx)

    async def list_stops(self, session: SessionRef) -> Sequence[HeldLease]:
        """List what the cluster holds and should stop."""
        async with self._database.for_org(session.cluster.org) as tx:
            return await dispatches.list_stops(tx, session.cluster.name)

    async def settle(
        self,
        session: SessionRef,
        accepted: Collection[tuple[AttemptId, LeaseId]],
        reports: Sequence[Report],
    ) -> Sequence[Acknowledgement]:
        """Take the agent's word, in one commit; the answers may be sent when this returns."""
        async with self._current(session) as tx:
            now = self._clock.now()
            if accepted:
                await dispatches.accept(tx, session.cluster.name, accepted, now)
            if not reports:
                return []
            return await apply_reports(tx, session.cluster.name, reports, now)

    async def touch(self, session: SessionRef) -> None:
        """Note that the session lives."""
        async with self._database.for_org(session.cluster.org) as tx:
            alive = await clusters.touch_session(
                tx, session.cluster.name, session.epoch, self._clock.now()
            )
        if not alive:
            raise SupersededError

    @asynccontextmanager
    async def _current(self, session: SessionRef) -> AsyncIterator[OrgTx]:
        async with self._database.for_org(session.cluster.org) as tx:
            if not await clusters.is_current(tx, session.cluster.name, session.epoch):
                raise SupersededError
            yield tx
