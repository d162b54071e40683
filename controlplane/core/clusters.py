"""Clusters: what is wanted of one, what its agent says of itself, and when one is empty."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.model.ids import ActionKey, ClusterName
from shared.model.phases import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """What the control plane wants of a cluster, as state: the latest is the whole truth."""

    version: int
    cordoned: bool
    draining: bool
    pool: str

    @property
    def takes_work(self) -> bool:
        return not (self.cordoned or self.draining)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """Who says hello."""

    agent_id: str
    instance_id: str
    software: str
    protocol: int = 0  # that the session speaks
    capabilities: Sequence[str] = ()  # task types; "*" for any pod


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoad:
    """What an agent said with its last heartbeat."""

    held: int = 0  # attempts in its ledger
    running: int = 0  # attempts its runtimes have
    slots: int = 0  # assignments it has room for
    counted_at: datetime | None = None  # when it said so; None: not in this session


class Standing(StrEnum):
    """How a cluster stands, in a word."""

    READY = "ready"
    CORDONED = "cordoned"
    DRAINING = "draining"
    SILENT = "silent"
    NEW = "never connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """Everything an operator may want to know of a cluster."""

    name: ClusterName
    pool: str
    cordoned: bool
    draining_since: datetime | None
    spec_version: int  # grows with every change of what is wanted
    connected: bool
    connected_at: datetime | None  # when its current, or last, session began
    seen_at: datetime | None
    epoch: int
    agent: AgentInfo
    load: AgentLoad
    leased: int  # attempts the control plane says it holds
    unaccepted: int  # those of them that its agent has not accepted yet

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
class LeasedAttempt:
    """An attempt that a cluster still holds."""

    action: ActionKey
    number: int
    phase: Phase
    leased_at: datetime
    accepted_at: datetime | None
    stop_reason: str | None  # it is wanted stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """
    All three who count agree that nothing is left: the control plane's leases, the
    agent's ledger, the agent's runtimes; the agent's word is younger than the last lease.
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
    """What was seen so far of a cluster that is drained; each look gives the next value."""

    word_then: tuple[int, datetime | None] | None = field(default=None)
    """The agent's latest word (epoch, instant) when the leases were first seen to be gone."""

    def observe(
        self, status: ClusterStatus, now: datetime
    ) -> tuple["Emptying", Attestation | None]:
        """
        Take in a look at the cluster; attest when it is empty.

        What the agent said before its last lease went says nothing of what came after, so
        its word counts from the next heartbeat on.
        """
        if status.leased or status.draining_since is None:
            return Emptying(), None
        word = (status.epoch, status.load.counted_at)
        if self.word_then is None:
            return Emptying(word), None
        load = status.load
        if (
            not status.connected
            or load.counted_at is None
            or word == self.word_then
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
