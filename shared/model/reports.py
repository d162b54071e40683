"""Status reports of attempts, sent by a cluster's agent, and their acknowledgements."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from shared.model.ids import AttemptId, LeaseId
from shared.model.phases import Phase


class FailureKind(IntEnum):
    """Cause of a failure, which selects the retry budget; numbers are on the wire."""

    UNKNOWN = 0  # read from a row that a later release wrote; never sent or written
    USER = 1
    SYSTEM = 2
    PREEMPTION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Error that ended an attempt."""

    code: str  # machine-readable: "OOMKilled", "UserError", …; the SDK picks exceptions by it
    kind: FailureKind
    message: str  # for users; at most MAX_MESSAGE_BYTES, the full text is at ``full_uri``
    recoverable: bool = True  # False: the task raised an error that is not to be retried
    full_uri: str = ""


MAX_MESSAGE_BYTES = 16 * 1024
MAX_EVENT_COUNT = 2**31 - 1


class EventType(IntEnum):
    """Kubernetes' type of an event."""

    UNKNOWN = 0
    NORMAL = 1
    WARNING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """
    Kubernetes event about the attempt: an image pull, a scheduling decision, an eviction.

    ``count``: how often it occurred, from ``at`` on, until it was reported; ``source``: the component
    that recorded it, as in "kubelet". Agents of earlier releases report none of ``type`` and ``source``.
    """

    at: datetime
    reason: str
    message: str
    type: EventType = EventType.UNKNOWN
    count: int = 1
    source: str = ""


@dataclass(frozen=True, slots=True)
class LogLink:
    """Link to the attempt's log in an external system, for users."""

    name: str
    uri: str  # http or https


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    Status update of one attempt.

    Keyed (attempt, version): versions count from 1 without gaps, and repeats are ignored.
    ``phase`` is the attempt's phase from ``at`` on.
    """

    attempt: AttemptId
    lease: LeaseId
    version: int
    phase: Phase
    at: datetime
    reason: str = ""  # machine-readable: why it is in this phase
    message: str = ""  # the same for users
    failure: Failure | None = None
    output_uri: str = ""  # the attempt's output prefix, once it SUCCEEDED
    report_uri: str = ""  # its report.html, if it has one
    log_uri: str = ""  # its log in the object store, once uploaded
    events: Sequence[ClusterEvent] = field(default=())
    log_links: Sequence[LogLink] = ()  # the complete list; empty: unchanged
    traceparent: str = ""  # of the assignment, in the report of the end


class AckStatus(IntEnum):
    """Result of applying a report; numbers are on the wire."""

    APPLIED = 1
    REPEATED = 2  # already applied; drop it
    STALE = 3  # the lease is not current: stop the attempt, send no further reports


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Sent after commit: all reports of this attempt up to ``version`` are acknowledged."""

    attempt: AttemptId
    version: int
    status: AckStatus
