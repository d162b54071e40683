"""
What an agent's session may ask: work, and to have its word taken.

Every method but the first two names the session's epoch, and checks it in the transaction
that writes: a session that has been superseded writes nothing any more.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.core.agent_sessions import InventoryDecision, LeaseRecord, decide_inventory
from controlplane.core.clusters import AgentInfo, AgentLoad, ClusterSpec
from controlplane.core.errors import BusyError, UnauthenticatedError, UnavailableError
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import dispatches
from controlplane.store.dispatch.claim import Claimed, claim
from controlplane.store.dispatch.dispatches import Accepted
from controlplane.store.dispatch.reports import apply_free_reports, apply_reports
from controlplane.store.notify.changes import notify_own_work
from controlplane.store.resources import clusters
from controlplane.store.resources.clusters import ClusterRef
from controlplane.store.resources.specs import find_specs
from shared.kit.batching import Batcher, OverfullError, StoppedError
from shared.kit.clock import Clock
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId, OrgName
from shared.model.reports import Acknowledgement, Report

log = logging.getLogger(__name__)

LOCK_TIMEOUT = timedelta(milliseconds=250)
"""How long reports on locked runs wait before others get their turn."""
HEARTBEATS_PER_COMMIT = 500
MAX_HEARTBEATS_WAITING = 20_000  # a session has one at a time


class SupersededError(Exception):
    """A newer session of the same cluster has begun; this one is over."""


@dataclass(frozen=True, slots=True)
class SessionRef:
    """A session as the store knows it."""

    cluster: ClusterRef
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """Work for a cluster; or, when there is none, what else there is to know."""

    spec: ClusterSpec
    assignments: Sequence[Assignment] = ()
    stops: Sequence[LeaseRecord] = ()
    next_at: datetime | None = None  # when it is worth to look again without being told


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedReports:
    """What a commit made good of what the agent said."""

    accepted: Accepted
    acknowledged: Sequence[Acknowledgement]
    locked: Sequence[Report] = ()  # not taken in yet: another transaction holds their runs


class Sessions:
    """``run`` must be running for ``record_heartbeat`` to be answered."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._heartbeats: Batcher[OrgName, tuple[SessionRef, AgentLoad], ClusterSpec | None] = (
            Batcher(
                self._record_heartbeats,
                most=HEARTBEATS_PER_COMMIT,
                most_waiting=MAX_HEARTBEATS_WAITING,
                shared_fate=(UnavailableError,),
            )
        )

    async def run(self) -> None:
        """Note signs of life, in groups, until cancelled."""
        await self._heartbeats.run()

    async def authenticate(self, token: str) -> ClusterRef:
        """Return whose agent holds the token; UnauthenticatedError when nobody's does."""
        digest = hashlib.sha256(token.encode()).digest()
        async with self._database.for_fleet("authenticate an agent") as tx:
            cluster = await clusters.find_by_token(tx, digest)
        if cluster is None:
            raise UnauthenticatedError("no cluster has this token; give the agent a valid one")
        return cluster

    async def open(self, cluster: ClusterRef, agent: AgentInfo) -> SessionRef:
        """Begin a session; every older one of the cluster is superseded from now on."""
        async with self._database.for_org(cluster.org) as tx:
            now = self._clock.now()
            epoch = await clusters.open_session(tx, cluster.name, agent, now)
            # Said into a stream that broke, and not begun by anybody: it waits again.
            if await dispatches.return_unaccepted(tx, cluster.name, now):
                await notify_own_work(tx)
        return SessionRef(cluster, epoch)

    async def close(self, session: SessionRef) -> None:
        """Note that the session is over."""
        async with self._database.for_org(session.cluster.org) as tx:
            await clusters.close_session(tx, session.cluster.name, session.epoch)

    async def reconcile_inventory(
        self, session: SessionRef, inventory: Sequence[tuple[AttemptId, LeaseId]]
    ) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
        """
        Judge what the agent holds, and note it: "keep" allows a start, so from this commit
        on the lease must not go back. What it should hold and does not know of is noted too.
        """
        name = session.cluster.name
        async with self._current(session) as (tx, _):
            # All at once and in order, what is listed and what is missing: no deadlock, and
            # nothing is given away behind the verdicts.
            leases = await dispatches.lock_leases(tx, name)
            await dispatches.accept(tx, name, inventory, self._clock.now())
            # By lease: an older one of the same attempt says nothing of the current one.
            known = {lease for _, lease in inventory}
            missing = [action for action, each in leases.items() if each.lease not in known]
            await dispatches.note_missing(tx, name, missing)
        if missing:
            log.warning("agent lacks leases", extra={"cluster": name, "count": len(missing)})
        return decide_inventory(inventory, leases)

    async def hand_out(self, session: SessionRef, most: int, scheduler: FairScheduler) -> HandOut:
        """
        Lease up to ``most`` waiting attempts to the cluster; if none, look around instead.

        ``scheduler`` is the session's own.
        """
        name = session.cluster.name
        async with self._current(session) as (tx, spec):
            claimed = Claimed()
            if most and spec.takes_work:
                now = self._clock.now()
                claimed = await claim(tx, name, spec.pool, scheduler=scheduler, most=most, now=now)
                if claimed.assignments:
                    return HandOut(spec=spec, assignments=claimed.assignments)
            stops = await dispatches.list_stops(tx, name)
            return HandOut(spec=spec, stops=stops, next_at=claimed.next_at)

    async def find_specs(
        self, session: SessionRef, digests: Collection[Digest]
    ) -> Mapping[Digest, bytes]:
        async with self._database.for_org(session.cluster.org) as tx:
            return await find_specs(tx, digests)

    async def commit_reports(
        self,
        session: SessionRef,
        accepted: Collection[tuple[AttemptId, LeaseId]],
        reports: Sequence[Report],
    ) -> CommittedReports:
        """
        Take the agent's word, in one commit; the answers may be sent when this returns.

        Reports on runs that another transaction holds are left: ``settle_locked`` waits for them.
        """
        async with self._current(session) as (tx, _):
            now = self._clock.now()
            # Reports first: they lock runs, and runs are locked before dispatches.
            acknowledged: Sequence[Acknowledgement] = ()
            locked: Sequence[Report] = ()
            if reports:
                acknowledged, locked = await apply_free_reports(
                    tx,
                    session.cluster.name,
                    reports,
                    now,
                    also_lock=[attempt.action for attempt, _ in accepted],
                )
            noted = Accepted()
            if accepted:
                noted = await dispatches.accept(tx, session.cluster.name, accepted, now)
        return CommittedReports(accepted=noted, acknowledged=acknowledged, locked=locked)

    async def settle_locked(
        self, session: SessionRef, reports: Sequence[Report]
    ) -> CommittedReports:
        """Take in reports whose runs were locked, after a moment's wait; else they are left."""
        try:
            async with self._current(session, lock_timeout=LOCK_TIMEOUT) as (tx, _):
                acknowledged = await apply_reports(
                    tx, session.cluster.name, reports, self._clock.now()
                )
        except BusyError:
            return CommittedReports(accepted=Accepted(), acknowledged=(), locked=reports)
        return CommittedReports(accepted=Accepted(), acknowledged=acknowledged)

    async def record_heartbeat(self, session: SessionRef, load: AgentLoad) -> ClusterSpec:
        """
        Note that the session lives; returns what is wanted of its cluster.

        SupersededError, UnavailableError.
        """
        try:
            spec = await self._heartbeats.submit(session.cluster.org, (session, load))
        except OverfullError as error:
            raise UnavailableError("too many agents are heard at once; try again") from error
        except StoppedError as error:
            raise UnavailableError("this replica is stopping; try again") from error
        if spec is not None:
            return spec
        async with self._database.for_org(session.cluster.org) as tx:
            spec = await clusters.record_heartbeat(
                tx, session.cluster.name, session.epoch, load, self._clock.now()
            )
        if spec is None:
            raise SupersededError
        return spec

    async def _record_heartbeats(
        self, org: OrgName, touches: Sequence[tuple[SessionRef, AgentLoad]]
    ) -> Sequence[ClusterSpec | None]:
        """Touch those that can be had at once; None for the others."""
        sessions = [(session.cluster.name, session.epoch, load) for session, load in touches]
        try:
            async with self._database.for_org(org) as tx:
                found = await clusters.record_heartbeats(tx, sessions, self._clock.now())
        except BusyError:  # a lock that some of them wait for ends none of the others' sessions
            found = {}
        return [found.get((cluster, epoch)) for cluster, epoch, _ in sessions]

    @asynccontextmanager
    async def _current(
        self, session: SessionRef, *, lock_timeout: timedelta | None = None
    ) -> AsyncIterator[tuple[OrgTx, ClusterSpec]]:
        """Open a transaction in which the session stays the latest; SupersededError."""
        async with self._database.for_org(session.cluster.org, lock_timeout=lock_timeout) as tx:
            spec = await clusters.find_spec(tx, session.cluster.name, session.epoch)
            if spec is None:
                raise SupersededError
            yield tx, spec
