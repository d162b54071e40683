"""
Use cases of agents' sessions: open them, claim work, commit reports, record heartbeats.

Every method on a AgentSessionRef checks its epoch in the transaction that writes: a session that a
newer one has superseded can no longer write.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.core.agent_identity import ExpelledAgentError, Refusal, describe_refusal
from controlplane.core.clusters import AgentInfo, AgentLoad, ClusterSpec
from controlplane.core.errors import BusyError, UnauthenticatedError, UnavailableError
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.inventory import LeaseRecord, decide_inventory
from controlplane.core.restores import FindingKind
from controlplane.store.agents.findings import save_findings
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import dispatches, restores
from controlplane.store.dispatch.claim import Claimed, claim
from controlplane.store.dispatch.dispatches import Accepted
from controlplane.store.dispatch.reports import apply_free_reports, apply_reports
from controlplane.store.notify.changes import notify_own_work
from controlplane.store.resources import clusters
from controlplane.store.resources.clusters import ClusterRef
from controlplane.store.resources.specs import find_specs
from controlplane.usecases.agents.identities import (
    AgentIdentities,
    AgentIdentity,
    admit,
    require_agents_of,
)
from shared.kit.batching import Batcher, OverfullError, StoppedError
from shared.kit.clock import Clock
from shared.model.assignments import Assignment
from shared.model.findings import Findings
from shared.model.ids import AttemptId, ClusterName, Digest, LeaseId, OrgName
from shared.model.link_messages import InventoryDecision
from shared.model.reports import Acknowledgement, Report
from shared.secrets.key_pairs import is_public_key

log = logging.getLogger(__name__)

LOCK_TIMEOUT = timedelta(milliseconds=250)
"""Lock timeout of reports on locked runs, after which other reports go first."""
HEARTBEATS_PER_COMMIT = 500
MAX_HEARTBEATS_WAITING = 20_000  # a session has one at a time


class SupersededError(Exception):
    """A newer session of the same cluster has superseded this one."""


class RefusedCertificateError(UnauthenticatedError):
    """The agent's certificate opens no session; ``refusal`` says why."""

    def __init__(self, refusal: Refusal, cluster: str) -> None:
        super().__init__(describe_refusal(refusal, cluster))
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class AgentSessionRef:
    """Identifies a session: its cluster and epoch (fencing token)."""

    cluster: ClusterRef
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """Assignments for a cluster; or, if there are none, the requested stops."""

    spec: ClusterSpec
    assignments: Sequence[Assignment] = ()
    waits: Sequence[timedelta] = ()  # how long each of them could have been leased
    stops: Sequence[LeaseRecord] = ()
    next_at: datetime | None = None  # when to claim again; None: after a notification


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedReports:
    """Result of committing an agent's acceptances and reports."""

    accepted: Accepted
    acknowledged: Sequence[Acknowledgement]
    locked: Sequence[Report] = ()  # not applied yet: another transaction has locked their runs


class AgentSessions:
    """Use cases of sessions; ``record_heartbeat`` waits until ``run`` commits it."""

    def __init__(
        self, database: Database, clock: Clock, identities: AgentIdentities | None = None
    ) -> None:
        """``identities``: of agents with certificates; None where the link has no TLS."""
        self._database = database
        self._clock = clock
        self._identities = identities
        self._heartbeats: Batcher[
            OrgName, tuple[AgentSessionRef, AgentLoad], ClusterSpec | None
        ] = Batcher(
            self._record_heartbeats,
            most=HEARTBEATS_PER_COMMIT,
            most_waiting=MAX_HEARTBEATS_WAITING,
            shared_fate=(UnavailableError,),
        )

    async def run(self) -> None:
        """Record heartbeats in batches, until cancelled."""
        await self._heartbeats.run()

    async def authenticate(self, token: str) -> ClusterRef:
        """Return the cluster that the token belongs to; UnauthenticatedError for an unknown one."""
        digest = hashlib.sha256(token.encode()).digest()
        async with self._database.for_fleet("authenticate an agent") as tx:
            cluster = await clusters.find_by_token(tx, digest)
            if cluster is not None:
                await require_agents_of(tx, cluster.org, self._clock.now())
        if cluster is None:
            raise UnauthenticatedError(
                "no cluster has this token; configure the agent with its cluster's token"
            )
        return cluster

    @property
    def takes_certificates(self) -> bool:
        """Whether agents authenticate by certificates; otherwise by shared tokens."""
        return self._identities is not None

    async def identify(self, fingerprint: bytes, *, opens_session: bool = False) -> AgentIdentity:
        """
        Return whose certificate has this SHA-256; UnauthenticatedError unless it is valid.

        ``opens_session``: a retired one is returned, too: ``open`` decides on it.
        """
        if self._identities is None:
            raise UnauthenticatedError("this control plane takes no certificates")
        return await self._identities.find(fingerprint, opens_session=opens_session)

    async def open(
        self, cluster: ClusterRef, agent: AgentInfo, *, serial: str = ""
    ) -> AgentSessionRef:
        """
        Open a session and supersede every older one of the cluster.

        ``serial``: of the agent's certificate, which this confirms; RefusedCertificateError.
        """
        refusal: Refusal | None = None
        epoch = 0
        if agent.secrets_key and not is_public_key(agent.secrets_key):
            # One bad key would prevent sealing to all of the org's clusters.
            log.warning(
                "agent announced an invalid key for secrets", extra={"cluster": cluster.name}
            )
            agent = replace(agent, secrets_key=b"")
        async with self._database.for_org(cluster.org) as tx:
            now = self._clock.now()
            if serial:
                refusal = await admit(tx, self._clock, cluster.name, serial, agent.instance_id)
            if refusal is None:
                epoch = await clusters.open_agent_session(
                    tx, cluster.name, agent, now, serial=serial
                )
                # Assignments sent on the old stream and not accepted: requeue them.
                if await dispatches.return_unaccepted(tx, cluster.name, now):
                    await notify_own_work(tx)
        if refusal is not None:  # after the commit, which notes a clone
            raise RefusedCertificateError(refusal, cluster.name)
        if agent.last_epoch >= epoch:
            log.error(
                "database is older than its agent: if it was restored to an earlier moment, stop every "
                "replica and run `volary restored mark`",
                extra={"cluster": cluster.name, "last_epoch": agent.last_epoch, "epoch": epoch},
            )
        return AgentSessionRef(cluster, epoch)

    async def require_cluster(self, cluster: ClusterRef) -> None:
        """Raise ExpelledAgentError if the cluster, whose agent had a session, was deleted."""
        async with self._database.for_org(cluster.org) as tx:
            if await clusters.exists(tx, cluster.name):
                return
        raise ExpelledAgentError(
            f"cluster {cluster.name} of org {cluster.org} was deleted; uninstall this agent"
        )

    async def close(self, session: AgentSessionRef) -> None:
        """Mark the session as closed."""
        async with self._database.for_org(session.cluster.org) as tx:
            await clusters.close_agent_session(
                tx, session.cluster.name, session.epoch, self._clock.now()
            )

    async def reconcile_inventory(
        self, session: AgentSessionRef, inventory: Sequence[tuple[AttemptId, LeaseId]]
    ) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
        """
        Decide on the attempts in the agent's inventory, and record the leases it accepts or lacks.

        KEEP allows the agent to start the attempt, so its lease counts as accepted from this
        commit on and is no longer returned. Leases that the inventory lacks are marked missing.
        After a restore, leases that are newer than the database's are taken over first, and what
        was found is recorded; nothing is missing until the operator releases the cluster.
        """
        name = session.cluster.name
        async with self._current(session) as (tx, spec):
            now = self._clock.now()
            adopted = await restores.adopt(tx, name, inventory, now) if spec.restored else ()
            # Lock all leases at once and in order, listed and missing: no deadlock, and no lease
            # changes between the decision and the commit.
            leases = await dispatches.lock_leases(tx, name)
            await dispatches.accept(tx, name, inventory, now)
            # By lease id: an older lease of the same attempt does not prove the current one.
            known = {lease for _, lease in inventory}
            missing = [action for action, each in leases.items() if each.lease not in known]
            decisions = decide_inventory(inventory, leases)
            if spec.restored:
                found = {
                    FindingKind.ADOPTED: adopted,
                    FindingKind.STOPPED: [
                        (attempt, lease)
                        for attempt, lease, decision in decisions
                        if decision is InventoryDecision.FORGET
                    ],
                    FindingKind.MISSING: [
                        (leases[action].attempt, leases[action].lease) for action in missing
                    ],
                }
                await _record_restored(tx, name, found, now)
            else:
                await dispatches.note_missing(tx, name, missing)
        if missing:
            log.warning(
                "leases missing from inventory", extra={"cluster": name, "count": len(missing)}
            )
        return decisions

    async def hand_out(
        self, session: AgentSessionRef, most: int, scheduler: FairScheduler
    ) -> HandOut:
        """
        Lease up to ``most`` waiting attempts to the cluster; if none, list the requested stops.

        ``scheduler`` is the session's own: it keeps the round-robin cursors.
        """
        name = session.cluster.name
        async with self._current(session) as (tx, spec):
            claimed = Claimed()
            if most and spec.takes_work:
                now = self._clock.now()
                claimed = await claim(tx, name, spec.pool, scheduler=scheduler, most=most, now=now)
                if claimed.assignments:
                    return HandOut(spec=spec, assignments=claimed.assignments, waits=claimed.waits)
            stops = await dispatches.list_stops(tx, name)
            return HandOut(spec=spec, stops=stops, next_at=claimed.next_at)

    async def find_specs(
        self, session: AgentSessionRef, digests: Collection[Digest]
    ) -> Mapping[Digest, bytes]:
        """Return the specs with these digests; unknown ones are left out."""
        async with self._database.for_org(session.cluster.org) as tx:
            return await find_specs(tx, digests)

    async def commit_reports(
        self,
        session: AgentSessionRef,
        accepted: Collection[tuple[AttemptId, LeaseId]],
        reports: Sequence[Report],
    ) -> CommittedReports:
        """
        Commit an agent's acceptances and reports in one transaction; acknowledge them after it.

        Reports on runs that another transaction has locked are returned in ``locked``:
        ``settle_locked`` waits for them.
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
            recorded = Accepted()
            if accepted:
                recorded = await dispatches.accept(tx, session.cluster.name, accepted, now)
        return CommittedReports(accepted=recorded, acknowledged=acknowledged, locked=locked)

    async def settle_locked(
        self, session: AgentSessionRef, reports: Sequence[Report]
    ) -> CommittedReports:
        """Commit reports whose runs were locked; return them in ``locked`` if they still are."""
        try:
            async with self._current(session, lock_timeout=LOCK_TIMEOUT) as (tx, _):
                acknowledged = await apply_reports(
                    tx, session.cluster.name, reports, self._clock.now()
                )
        except BusyError:
            return CommittedReports(accepted=Accepted(), acknowledged=(), locked=reports)
        return CommittedReports(accepted=Accepted(), acknowledged=acknowledged)

    async def record_heartbeat(self, session: AgentSessionRef, load: AgentLoad) -> ClusterSpec:
        """
        Record a heartbeat of the session and return the desired state of its cluster.

        SupersededError, UnavailableError.
        """
        try:
            spec = await self._heartbeats.submit(session.cluster.org, (session, load))
        except OverfullError as error:
            raise UnavailableError("too many heartbeats are waiting; try again") from error
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

    async def record_findings(self, session: AgentSessionRef, findings: Findings) -> None:
        """Store what the agent's checks found, in place of what is stored; SupersededError."""
        async with self._current(session) as (tx, _):
            await save_findings(tx, session.cluster.name, findings, self._clock.now())

    async def _record_heartbeats(
        self, org: OrgName, heartbeats: Sequence[tuple[AgentSessionRef, AgentLoad]]
    ) -> Sequence[ClusterSpec | None]:
        """Record the heartbeats whose rows are not locked; None for the others."""
        sessions = [(session.cluster.name, session.epoch, load) for session, load in heartbeats]
        try:
            async with self._database.for_org(org) as tx:
                found = await clusters.record_heartbeats(tx, sessions, self._clock.now())
        except BusyError:  # one locked row must not end the sessions of the whole batch
            found = {}
        return [found.get((cluster, epoch)) for cluster, epoch, _ in sessions]

    @asynccontextmanager
    async def _current(
        self, session: AgentSessionRef, *, lock_timeout: timedelta | None = None
    ) -> AsyncIterator[tuple[OrgTx, ClusterSpec]]:
        """Open a transaction that locks the session as the latest one; SupersededError."""
        async with self._database.for_org(session.cluster.org, lock_timeout=lock_timeout) as tx:
            spec = await clusters.find_spec(tx, session.cluster.name, session.epoch)
            if spec is None:
                raise SupersededError
            yield tx, spec


async def _record_restored(
    tx: OrgTx,
    cluster: ClusterName,
    found: Mapping[FindingKind, Collection[tuple[AttemptId, LeaseId]]],
    now: datetime,
) -> None:
    """Record what an agent's inventory says that the restored database did not know."""
    for kind, leases in found.items():
        await restores.record_findings(tx, cluster, kind, leases, now)
    await restores.note_reconciled(tx, cluster, now)
    counts = {kind.value: len(leases) for kind, leases in found.items()}
    log.warning("inventory reconciled after a restore", extra={"cluster": cluster, **counts})
