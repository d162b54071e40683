"""
Actions as the control plane knows them: what is asked, what is kept, what is shown.

``NewAction`` comes in through a door, ``ActionRow`` is one row of the store as watchers
and lists see it, ``ActionDetail`` adds what only a page about one action needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, IntEnum, auto

from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    Digest,
    OrgName,
    ProjectName,
    RunId,
)
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, Failure, LogLink


class ActionType(IntEnum):
    """flyteidl2's numbers."""

    UNKNOWN = 0  # read from a row that a later release wrote
    TASK = 1
    TRACE = 2
    CONDITION = 3


class SpecKind(IntEnum):
    """What a stored, content-addressed blob is."""

    UNKNOWN = 0  # read from a row that a later release wrote
    TASK = 1  # flyteidl2.task.TaskSpec
    RUN = 2  # flyteidl2.task.RunSpec
    TRACE = 3  # flyteidl2.task.TraceSpec
    CONDITION = 4  # flyteidl2.workflow.ConditionAction


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What a task's metadata says of trying again and of giving up; zero means no limit."""

    retries: int = 0
    backoff_base: timedelta = timedelta(0)
    backoff_factor: float = 1.0
    backoff_cap: timedelta = timedelta(0)
    max_runtime: timedelta = timedelta(0)
    queued_timeout: timedelta = timedelta(0)
    deadline: timedelta = timedelta(0)
    # Begin it elsewhere when its cluster is cut off for long; otherwise it stays there.
    replaceable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A message stored once, by what it says."""

    digest: Digest
    kind: SpecKind
    body: bytes
    policy: RetryPolicy = RetryPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """What lists show and filters ask of a task's spec; empty for what is not a task."""

    org: str = ""  # the identifier's own words, for showing
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
    """A trace is over before it is told of."""

    phase: Phase
    started_at: datetime
    ended_at: datetime
    output_uri: str  # the exact file, not a prefix
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionInfo:
    """What a condition waits for."""

    literal_type: bytes  # flyteidl2.core.LiteralType
    timeout: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAction:
    """An action somebody asks for. Repeating it changes nothing."""

    key: ActionKey
    parent: ActionName
    type: ActionType
    spec: Spec
    info: TaskInfo
    input_uri: str
    group: str = ""
    cache_key: str = ""
    queue: str = ""
    trace: TraceInfo | None = None
    condition: ConditionInfo | None = None


class RunSource(IntEnum):
    """flyteidl2's numbers."""

    UNSPECIFIED = 0  # also what this release cannot read
    WEB = 1
    CLI = 2
    SCHEDULE_TRIGGER = 3
    TRACKED = 4
    ARTIFACT_TRIGGER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run somebody asks for: its root action, and what all its actions share."""

    key: ActionKey  # the root's; ``name`` is a0
    spec: Spec
    run_spec: Spec
    info: TaskInfo
    input_uri: str
    run_base: str
    labels: Mapping[str, str] = field(default_factory=dict)
    source: RunSource = RunSource.UNSPECIFIED
    cache_key: str = ""
    queue: str = ""
    raw_data_base: str = ""  # "" for below run_base
    max_action_concurrency: int = 0  # 0 for no limit
    started_at: datetime | None = None  # a trigger's scheduled time


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """One action, as lists and watchers see it: the latest state, and where in the feed."""

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
    output_uri: str  # what it gave: a task's prefix or a trace's file, once it SUCCEEDED
    report_uri: str
    failure: Failure | None
    abort_reason: str
    aborted_by: str
    condition_type: bytes  # flyteidl2.core.LiteralType of a condition's answer
    value: bytes  # flyteidl2.core.Literal: that answer
    signalled_by: str
    source: RunSource
    labels: Mapping[str, str]
    change: int  # the run's sequence number of its latest change


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChange:
    phase: Phase
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDetail:
    """One try, with its own error and its own outputs."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDetail:
    """Everything about one action."""

    row: ActionRow
    input_uri: str
    spec_kind: SpecKind
    spec: bytes
    attempts: Sequence[AttemptDetail]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    root: ActionDetail
    run_spec: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list, and where the next part begins; "" at the end."""

    rows: Sequence[ActionRow]
    token: str


@dataclass(frozen=True, slots=True)
class ProjectDomain:
    project: ProjectName
    domain: str


class SnapshotEnd(Enum):
    """Ends the snapshot that a watch begins with; what follows are changes."""

    TOKEN = auto()
