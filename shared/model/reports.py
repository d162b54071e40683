"""What a cluster says of the attempts it runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from shared.model.ids import AttemptId, LeaseId
from shared.model.phases import Phase


class FailureKind(IntEnum):
    """Who is to blame, which decides the retry budget; numbers are on the wire."""

    UNKNOWN = 0  # read from a row that a later release wrote; never sent or written
    USER = 1
    SYSTEM = 2
    PREEMPTION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt ended badly."""

    code: str  # machine-readable: "OOMKilled", "UserError", …; the SDK picks exceptions by it
    kind: FailureKind
    message: str  # for people; at most MAX_MESSAGE_BYTES, the whole is at ``full_uri``
    recoverable: bool = True  # False: the task said that trying again is no use
    full_uri: str = ""


MAX_MESSAGE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """Something the cluster said about the attempt: a pull, a placement, an eviction."""

    at: datetime
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class LogLink:
    """Where somebody else keeps a log of the attempt, for people."""

    name: str
    uri: str  # http or https


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    One thing that happened to one attempt.

    Keyed (attempt, version): versions count from 1 without gaps and a repeat is no news.
    ``phase`` is the attempt's phase from ``at`` on.
    """

    attempt: AttemptId
    lease: LeaseId
    version: int
    phase: Phase
    at: datetime
    reason: str = ""  # machine-readable: why it is in this phase
    message: str = ""  # the same for people
    failure: Failure | None = None
    output_uri: str = ""  # the attempt's output prefix, once it SUCCEEDED
    report_uri: str = ""  # its report.html, if there is one
    log_uri: str = ""  # its shipped log, once there is one
    events: Sequence[ClusterEvent] = field(default=())
    log_links: Sequence[LogLink] = ()  # all of them; none: as before


class AckStatus(IntEnum):
    """What became of a report; numbers are on the wire."""

    APPLIED = 1
    REPEATED = 2  # known already; forget it
    STALE = 3  # the lease is not current: stop that attempt, report no more of it


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Given after commit: everything of this attempt up to ``version`` is settled."""

    attempt: AttemptId
    version: int
    status: AckStatus
