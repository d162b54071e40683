"""
Messages of the agent link as plain dataclasses, the same at both ends.

``link.frames`` of either end converts them from and to protobuf.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from shared.model.assignments import Assignment, UnknownAssignment
from shared.model.findings import Findings
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.logs import LogChunk
from shared.model.reports import Acknowledgement, Report


@dataclass(frozen=True, slots=True, order=True)
class Lease:
    """A lease: the right to run one attempt."""

    attempt: AttemptId
    id: LeaseId


# Messages of the agent.


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    agent_id: str
    instance_id: str
    protocol_min: int
    protocol_max: int
    software: str
    capabilities: Sequence[str]
    last_epoch: int
    secrets_key: bytes = b""  # public key, to which secrets are sealed: SubjectPublicKeyInfo
    org: str = ""  # the identity that the agent takes itself to have; "" without a certificate
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    leases: Sequence[Lease]
    last: bool


@dataclass(frozen=True, slots=True)
class Credit:
    total: int


@dataclass(frozen=True, slots=True)
class Accepted:
    leases: Sequence[Lease]


@dataclass(frozen=True, slots=True)
class Reports:
    reports: Sequence[Report]


@dataclass(frozen=True, slots=True)
class Done:
    """The call is completed."""


@dataclass(frozen=True, slots=True)
class CallError:
    code: str  # Connect's names: not_found, unimplemented, …
    message: str


@dataclass(frozen=True, slots=True)
class Reply:
    call: int
    answer: LogChunk | Done | CallError


# Messages of either end.


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    number: int
    sent_at: datetime
    noted: int = 0  # from the control plane: number of the agent's latest heartbeat it recorded
    held: int = 0  # from the agent: attempts in the ledger
    running: int = 0  # from the agent: attempts the runtimes have


# Messages of the control plane.


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    epoch: int
    protocol: int
    heartbeat_every: timedelta
    fence_after: timedelta
    reassign_after: timedelta
    server_time: datetime
    cluster: str


@dataclass(frozen=True, slots=True)
class Rejected:
    code: str
    message: str
    retry: bool
    end_attempts: bool = False  # the agent is to end its attempts: org or identity are gone
    retry_after: timedelta | None = None  # without ``retry``: ask again after this time


class InventoryDecision(IntEnum):
    """Decision on a lease in the agent's inventory; the numbers are on the wire."""

    KEEP = 1
    STOP = 2  # stop it and report its end
    FORGET = 3  # stop it and report nothing more


@dataclass(frozen=True, slots=True)
class InventoryDecisions:
    decisions: Sequence[tuple[Lease, InventoryDecision]]
    last: bool


@dataclass(frozen=True, slots=True)
class Assignments:
    assignments: Sequence[Assignment]
    specs: Mapping[Digest, bytes] = field(repr=False)
    unknown: Sequence[UnknownAssignment] = ()  # of kinds that only a later release knows


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The control plane recorded these as accepted; only now may they be started."""

    leases: Sequence[Lease]


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    acknowledgements: Sequence[Acknowledgement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    lease: Lease
    reason: str
    forget: bool  # the lease was revoked: report nothing


@dataclass(frozen=True, slots=True)
class Stops:
    stops: Sequence[Stop]


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """Desired state of the agent; the latest message replaces all earlier ones."""

    version: int = 0
    cordoned: bool = False
    draining: bool = False
    reconnect_after: timedelta | None = None
    renew_serial: str = ""  # the agent's certificate with this serial is to be renewed now
    end_attempts: str = ""  # why it is to end every attempt and disconnect; "": it goes on


@dataclass(frozen=True, slots=True)
class FollowLogs:
    attempt: AttemptId
    after_line: int
    partial_lines: bool = False  # whether the caller understands chunks with a partial line


@dataclass(frozen=True, slots=True)
class Call:
    id: int
    request: FollowLogs | None  # None: a kind that this release does not know


@dataclass(frozen=True, slots=True)
class CallCredit:
    call: int
    chunks: int


@dataclass(frozen=True, slots=True)
class CallCancel:
    call: int


AgentMessage = Hello | Inventory | Credit | Accepted | Reports | Heartbeat | Reply | Findings
Work = (
    InventoryDecisions
    | Assignments
    | Confirmed
    | Acknowledgements
    | Stops
    | DesiredState
    | Call
    | CallCredit
    | CallCancel
)
ControlMessage = Welcome | Rejected | Heartbeat | Work
