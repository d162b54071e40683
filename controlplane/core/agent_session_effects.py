"""Messages that an agent session takes, and the effects that it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.clusters import AgentInfo, AgentLoad
from shared.model.findings import Findings
from shared.model.ids import AttemptId, LeaseId
from shared.model.link_messages import (
    Accepted,
    Acknowledgements,
    Assignments,
    Confirmed,
    Credit,
    DesiredState,
    Heartbeat,
    Hello,
    Inventory,
    InventoryDecisions,
    Rejected,
    Reports,
    Stops,
    Welcome,
)
from shared.model.link_session import End


@dataclass(frozen=True, slots=True)
class CallReply:
    """A reply to a call. Its content is the caller's to read."""

    content: object


Received = Hello | Inventory | Credit | Accepted | Reports | Heartbeat | Findings | CallReply
Sent = (
    Welcome
    | Rejected
    | InventoryDecisions
    | Assignments
    | Confirmed
    | Acknowledgements
    | Stops
    | DesiredState
    | Heartbeat
)
"""Messages of a session; calls have frames of their own (``link.live_calls``)."""


@dataclass(frozen=True, slots=True)
class Send:
    message: Sent


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Open a session of the agent in the store, then call :meth:`AgentSession.opened`."""

    agent: AgentInfo


@dataclass(frozen=True, slots=True)
class ReconcileInventory:
    """Reconcile the whole inventory, then call :meth:`AgentSession.reconciled`."""

    inventory: Sequence[tuple[AttemptId, LeaseId]]


@dataclass(frozen=True, slots=True)
class FindWork:
    """Claim work for the agent now, without waiting for a notification."""


@dataclass(frozen=True, slots=True)
class CommitReports:
    """Commit the waiting reports and acceptances."""


@dataclass(frozen=True, slots=True)
class PassReply:
    """Pass a reply to its call."""

    content: object


@dataclass(frozen=True, slots=True)
class RecordHeartbeat:
    """Record a heartbeat in the store, then call :meth:`AgentSession.heartbeat_recorded`."""

    load: AgentLoad
    noted: int  # number of the agent's latest heartbeat
    at: datetime


@dataclass(frozen=True, slots=True)
class RecordFindings:
    """Store what the agent's checks found."""

    findings: Findings


Effect = (
    Send
    | OpenSession
    | ReconcileInventory
    | FindWork
    | CommitReports
    | PassReply
    | RecordHeartbeat
    | RecordFindings
    | End
)
