"""
Actions: enqueue requests, stored rows and details.

``NewAction`` is an enqueue request from an API, ``ActionRow`` is one row of the store as
watchers and lists see it, ``ActionDetail`` adds the fields that only a single action's page
needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum, auto

from controlplane.core.caching import CacheRequest, CacheSource, CacheStatus
from controlplane.core.relations import Relation
from controlplane.core.usage import NOTHING_REQUESTED, ResourceRequests
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    Digest,
    OrgName,
    ProjectName,
    RunId,
    RunName,
)
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, Failure, LogLink


class ActionType(IntEnum):
    """Types of actions, with flyteidl2's numbers."""

    UNKNOWN = 0  # read from a row that a later release wrote
    TASK = 1
    TRACE = 2
    CONDITION = 3


class SpecKind(IntEnum):
    """Message types of stored, content-addressed specs."""

    UNKNOWN = 0  # read from a row that a later release wrote
    TASK = 1  # flyteidl2.task.TaskSpec
    RUN = 2  # flyteidl2.task.RunSpec
    TRACE = 3  # flyteidl2.task.TraceSpec
    CONDITION = 4  # flyteidl2.workflow.ConditionAction
    TRIGGER = 5  # flyteidl2.trigger.TriggerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Retries, backoff and timeouts from a task's metadata; zero means no limit."""

    retries: int = 0
    backoff_base: timedelta = timedelta(0)
    backoff_factor: float = 1.0
    backoff_cap: timedelta = timedelta(0)
    max_runtime: timedelta = timedelta(0)
    queued_timeout: timedelta = timedelta(0)
    deadline: timedelta = timedelta(0)
    # Retry it on another cluster when its own is silent for long; otherwise it stays there.
    replaceable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A content-addressed message: stored once per digest."""

    digest: Digest
    kind: SpecKind
    body: bytes
    policy: RetryPolicy = RetryPolicy()
    produces_artifacts: bool = False  # its outputs may declare artifacts
    requests: ResourceRequests = NOTHING_REQUESTED  # of one attempt
    has_outputs: bool = True  # of a task: without declared outputs it need not write a file


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """Fields of a task's spec for lists and filters; empty for other types of actions."""

    org: str = ""  # as in the task's identifier; for display only
    project: str = ""
    domain: str = ""
    name: str = ""
    version: str = ""
    short_name: str = ""
    task_type: str = ""
    environment: str = ""
    function: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceInfo:
    """Result of a trace, which has always ended before it is enqueued."""

    phase: Phase
    started_at: datetime
    ended_at: datetime
    output_uri: str  # the exact file, not a prefix
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionInfo:
    """Type and timeout of the signal that a condition waits for."""

    literal_type: bytes  # flyteidl2.core.LiteralType
    timeout: timedelta | None
    webhook: str = ""  # address that is told of the condition; the content is in the spec


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAction:
    """Request to enqueue an action; idempotent."""

    key: ActionKey
    parent: ActionName
    type: ActionType
    spec: Spec
    info: TaskInfo
    input_uri: str
    group: str = ""
    cache: CacheRequest | None = None
    queue: str = ""
    trace: TraceInfo | None = None
    condition: ConditionInfo | None = None


class RunSource(IntEnum):
    """Origins of runs, with flyteidl2's numbers."""

    UNSPECIFIED = 0  # also any value that this release does not know
    WEB = 1
    CLI = 2
    SCHEDULE_TRIGGER = 3
    TRACKED = 4
    ARTIFACT_TRIGGER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrigger:
    """The trigger that started a run, in the run's project and domain, as it was then."""

    task_name: str
    name: str
    revision: int
    automation: bytes  # flyteidl2.task.TriggerAutomationSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """Latest state of one action as lists and watchers see it, with its change number."""

    org: OrgName
    id: ActionId
    run_id: RunId
    key: ActionKey
    parent: ActionName | None
    type: ActionType
    info: TaskInfo
    group: str
    phase: Phase
    attempts: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    created_by: str
    output_prefix: str  # of a task: where its current attempt writes
    output_uri: str  # once it SUCCEEDED: a task's output prefix or a trace's output file
    report_uri: str
    failure: Failure | None
    abort_reason: str
    aborted_by: str
    condition_type: bytes  # flyteidl2.core.LiteralType of a condition's answer
    value: bytes  # flyteidl2.core.Literal: that answer
    signalled_by: str
    source: RunSource
    labels: Mapping[str, str]
    relation: Relation | None  # of a root: its run's
    recovered_from: RunName | None  # of a RECOVERED action: the run that executed it
    change: int  # the run's sequence number of its latest change
    cache_status: CacheStatus = CacheStatus.DISABLED
    cached_from: CacheSource | None = None  # set if it got the outputs of an earlier attempt
    trigger: RunTrigger | None = None  # of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChange:
    """Time that an attempt spent in one phase."""

    phase: Phase
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDetail:
    """One attempt, with its own error and outputs."""

    number: int
    phase: Phase
    cluster: str
    started_at: datetime
    ended_at: datetime | None
    failure: Failure | None
    output_uri: str
    report_uri: str
    log_uri: str
    log_links: Sequence[LogLink]
    logs_available: bool
    transitions: Sequence[PhaseChange]
    events: Sequence[ClusterEvent]

    @property
    def pod_name(self) -> str:
        """Name the source of the log, as LogContext and TailLogs do."""
        return f"{self.cluster}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDetail:
    """One action with its spec and all its attempts."""

    row: ActionRow
    input_uri: str
    spec_kind: SpecKind
    spec: bytes
    attempts: Sequence[AttemptDetail]
    queue: str = ""  # of a task's latest attempt; "": the default queue


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, and the token of the next page ("" at the end)."""

    rows: Sequence[ActionRow]
    token: str


@dataclass(frozen=True, slots=True)
class ProjectDomain:
    """A project and one of its domains."""

    project: ProjectName
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarActions:
    """
    Actions of a run with the same parent, group and task: one of them, and lists of what differs.

    Times are in microseconds since 1970.
    """

    example: ActionRow
    names: Sequence[ActionName]
    changes: Sequence[int]
    phases: Sequence[Phase]
    attempts: Sequence[int]
    cache_statuses: Sequence[CacheStatus]
    created: Sequence[int]
    started: Sequence[int | None]
    ended: Sequence[int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPart:
    """The next actions of a run by their change, up to and with ``change``."""

    change: int
    similar: Sequence[SimilarActions]

    def __len__(self) -> int:
        return sum(len(similar.names) for similar in self.similar)


class SnapshotEnd(Enum):
    """Marker between the initial snapshot of a watch and the changes after it."""

    TOKEN = auto()
