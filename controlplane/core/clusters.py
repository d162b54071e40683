"""Clusters: desired state, status reported by their agents, and drain attestation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.model.findings import Finding
from shared.model.ids import ActionKey, ClusterName
from shared.model.phases import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """Desired state of a cluster; level-triggered: the latest version replaces all before."""

    version: int
    cordoned: bool
    draining: bool
    pool: str
    renew_serial: str = ""  # the certificate that its agent has to renew now
    end_attempts: str = ""  # why its agent is to end all attempts and disconnect; "": it goes on
    restored: bool = False  # not released since the database was restored (core.restores)

    @property
    def takes_work(self) -> bool:
        return not (self.cordoned or self.draining or self.restored)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """Identity and capabilities that an agent sends in its hello frame."""

    agent_id: str
    instance_id: str
    software: str
    protocol: int = 0  # negotiated for the session
    capabilities: Sequence[str] = ()  # task types; "*" for any pod
    secrets_key: bytes = b""  # public key, to which secrets are sealed; b"" for none
    org: str = ""  # the identity that it takes itself to have; "": it does not say
    cluster: str = ""
    last_epoch: int = 0  # of the last session that it had


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoad:
    """Load that an agent reported with its last heartbeat."""

    held: int = 0  # attempts in its ledger
    running: int = 0  # attempts in its runtimes
    slots: int = 0  # free capacity, in assignments
    counted_at: datetime | None = None  # of that heartbeat; None: none in this session


class Standing(StrEnum):
    """Overall state of a cluster, in one word."""

    READY = "ready"
    CORDONED = "cordoned"
    DRAINING = "draining"
    SILENT = "silent"
    NEW = "never connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A cluster's desired state, connection and load, for operators."""

    name: ClusterName
    pool: str
    cordoned: bool
    draining_since: datetime | None
    spec_version: int  # grows with every change of the desired state
    connected: bool
    connected_at: datetime | None  # start of its current, or last, session
    seen_at: datetime | None
    epoch: int
    agent: AgentInfo
    load: AgentLoad
    leased: int  # attempts leased to it, by the control plane's count
    unaccepted: int  # of these, not accepted by its agent yet
    cloned_at: datetime | None = None  # when two agents with its identity were last seen
    cloned: str = ""  # which

    @property
    def version(self) -> int:
        """The version for callers: from 1, because 0 compares none."""
        return self.spec_version + 1

    @property
    def standing(self) -> Standing:
        if self.draining_since is not None:
            return Standing.DRAINING
        if self.cordoned:
            return Standing.CORDONED
        if self.connected:
            return Standing.READY
        return Standing.NEW if self.seen_at is None else Standing.SILENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChange:
    """Change of a cluster's desired state; None keeps a setting."""

    cordoned: bool | None = None  # False ends a drain, too
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """A pool: the name that clusters and queues share; "" is the default pool."""

    name: str
    clusters: int
    ready: int  # of these, connected and taking work
    queues: int


class SessionEnd(StrEnum):
    """Ways in which sessions of agents end."""

    UNKNOWN = "unknown"  # read from a row that a later release wrote
    CLOSED = "closed"  # its stream ended
    SUPERSEDED = "superseded"  # the next one began first: its replica or its connection was lost


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSession:
    """A session of a cluster's agent, which may still be open."""

    epoch: int
    agent_id: str
    instance_id: str
    software: str
    serial: str  # of the agent's certificate; "": it had none
    opened_at: datetime
    ended_at: datetime | None = None  # of one that was superseded: its last heartbeat
    ended_because: SessionEnd | None = None
    certificate_until: datetime | None = None  # None: it had none, or it is forgotten
    certificate_revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFindings:
    """The latest findings of an agent's checks."""

    findings: Sequence[Finding]
    checked_at: datetime  # by the agent's clock: when they last changed
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedAttempt:
    """An attempt that is leased to a cluster."""

    action: ActionKey
    number: int
    phase: Phase
    leased_at: datetime
    accepted_at: datetime | None
    stop_reason: str | None  # set: a stop is requested


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """
    Proof that a drained cluster is empty.

    All three counts agree on zero: the control plane's leases, the agent's ledger, the agent's
    runtimes; the agent's report is younger than the end of the last lease.
    """

    cluster: ClusterName
    epoch: int
    agent_id: str
    instance_id: str
    draining_since: datetime
    counted_at: datetime
    attested_at: datetime
    leased: int = 0
    held: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Emptying:
    """Progress of a drain towards an attestation; each observation returns the next value."""

    report_at_zero: tuple[int, datetime | None] | None = field(default=None)
    """The agent's latest report (epoch, timestamp) when zero leases were first observed."""

    def observe(
        self, status: ClusterStatus, now: datetime
    ) -> tuple["Emptying", Attestation | None]:
        """
        Record the cluster's status; attest when it is empty.

        A report from before the last lease ended does not prove that the agent is empty, so
        only a later heartbeat counts.
        """
        if status.leased or status.draining_since is None:
            return Emptying(), None
        report = (status.epoch, status.load.counted_at)
        if self.report_at_zero is None:
            return Emptying(report), None
        load = status.load
        if (
            not status.connected
            or load.counted_at is None
            or report == self.report_at_zero
            or load.held
            or load.running
        ):
            return self, None
        return self, Attestation(
            cluster=status.name,
            epoch=status.epoch,
            agent_id=status.agent.agent_id,
            instance_id=status.agent.instance_id,
            draining_since=status.draining_since,
            counted_at=load.counted_at,
            attested_at=now,
        )
