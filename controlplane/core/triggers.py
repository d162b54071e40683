"""Triggers: start runs of one version of a task, on a schedule or by hand. PURE."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum

from controlplane.core.callers import Scopes
from controlplane.core.profiles import Profiles
from controlplane.core.runs import RunRequest
from controlplane.core.schedules import Schedule, find_last
from shared.model.ids import DomainName, OrgName, ProjectName, RunKey, RunName

MOST_LATE = 100
"""Missed instants in a row that are fired late; those after them are skipped and counted."""
RETRY_AFTER = timedelta(seconds=10)
"""How long after a full queue refused a scheduled run it is tried again."""
MOST_TRIGGERS_OF_TASK = 50
MOST_TRIGGERS = 10_000
"""Triggers of one project and domain."""
MOST_REVISIONS = 1_000
"""Revisions kept for each trigger, the newest."""
MAX_ERROR = 1_000
"""Characters kept of the message why a scheduled run was refused."""


class AutomationType(IntEnum):
    """Types of automation, with flyteidl2's numbers."""

    UNKNOWN = 0  # read from a row that a later release wrote
    NONE = 1
    SCHEDULE = 2
    ARTIFACT = 3


class RevisionAction(IntEnum):
    """Actions that make a revision, with flyteidl2's numbers."""

    UNKNOWN = 0  # read from a row that a later release wrote
    DEPLOY = 1
    ACTIVATE = 2
    DEACTIVATE = 3
    DELETE = 4


class Overlap(IntEnum):
    """Policies of a trigger for an instant while an earlier run of it has not ended."""

    ALLOW = 0  # also any value that this release does not know
    SKIP = 1  # starts no run
    REPLACE = 2  # aborts that run first


class Origin(IntEnum):
    """Which call owns a trigger; a deployment of the task deletes only what deployments own."""

    API = 0  # DeployTrigger; also any value that this release does not know
    DEPLOYMENT = 1  # DeployTask


@dataclass(frozen=True, slots=True, order=True)
class TriggerKey:
    """A trigger within one org."""

    project: ProjectName
    domain: DomainName
    task_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.task_name}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactMatch:
    """The versions of an artifact that a trigger fires for, in its own project and domain."""

    name: str
    version: str = ""  # "": any
    partitions: Mapping[str, str] = field(default_factory=dict)  # that a version has among others


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrigger:
    """Request to deploy a trigger; equal messages have equal bytes."""

    key: TriggerKey
    task_version: str
    spec: bytes  # flyteidl2.trigger.TriggerSpec, without ``active``
    automation: bytes  # flyteidl2.task.TriggerAutomationSpec
    automation_type: AutomationType
    active: bool
    input_uri: str  # of the inputs of its runs
    description: str = ""
    origin: Origin = Origin.API
    schedule: Schedule | None = None
    overlap: Overlap = Overlap.ALLOW
    artifact: ArtifactMatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRequest:
    """Request to deploy a trigger, with the run that it would start now."""

    new: NewTrigger
    run: RunRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRow:
    """A stored trigger, or one of its revisions (then without the fields of its schedule)."""

    key: TriggerKey
    revision: int
    action: RevisionAction  # what made this revision
    task_version: str
    spec: bytes
    automation: bytes
    automation_type: AutomationType
    active: bool
    input_uri: str
    description: str
    origin: Origin
    deployed_by: str
    updated_by: str
    deployed_at: datetime
    updated_at: datetime
    triggered_at: datetime | None = None
    deleted_at: datetime | None = None
    schedule: Schedule | None = None
    overlap: Overlap = Overlap.ALLOW
    fire_at: datetime | None = None  # the next scheduled instant
    wake_at: datetime | None = None  # when the scheduler reads it again
    late: int = 0  # instants in a row that were fired late
    skipped: int = 0  # instants that started no run, since the trigger was created
    error: str = ""  # why the last scheduled instant started no run; "" if it did
    error_at: datetime | None = None
    firings: int = 0  # the number of the last firing
    artifact: ArtifactMatch | None = None  # versions that it fires for
    profiles: Profiles = field(default_factory=dict, compare=False)  # of those who changed it

    def is_same(self, new: NewTrigger) -> bool:
        """Return whether deploying ``new`` would change nothing."""
        return self.deleted_at is None and (
            (self.spec, self.automation, self.active, self.origin, self.input_uri)
            == (new.spec, new.automation, new.active, new.origin, new.input_uri)
        )


@dataclass(frozen=True, slots=True)
class TriggerPage:
    """One page of triggers or revisions, and the token of the next page ("" at the end)."""

    rows: Sequence[TriggerRow]
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerScope:
    """Selects triggers; an empty field matches any. ``within`` is as in RunScope."""

    project: str = ""
    domain: str = ""
    task_name: str = ""
    task_version: str = ""
    within: Scopes | None = None


@dataclass(frozen=True, slots=True)
class DueTrigger:
    """A locked trigger whose next scheduled instant has come, with the spec of its task."""

    row: TriggerRow
    fire_at: datetime
    task_spec: bytes | None  # flyteidl2.task.TaskSpec; None: that version is not deployed


def deploy(new: NewTrigger, known: TriggerRow | None, *, by: str, now: datetime) -> TriggerRow:
    """
    Return the next revision of a trigger; ``known`` itself if that would change nothing.

    Nothing before ``now`` is caught up. A rate without a start time keeps its anchor while the
    automation stays the same, so that a deployment does not shift its phase; and instants that
    are due already stay due.
    """
    if known is not None and known.is_same(new):
        return known
    same_schedule = (
        known is not None and known.deleted_at is None and known.automation == new.automation
    )
    row = TriggerRow(
        key=new.key,
        revision=1 if known is None else known.revision + 1,
        action=RevisionAction.DEPLOY,
        task_version=new.task_version,
        spec=new.spec,
        automation=new.automation,
        automation_type=new.automation_type,
        active=new.active,
        input_uri=new.input_uri,
        description=new.description,
        origin=new.origin,
        deployed_by=by,
        updated_by=by,
        deployed_at=now,
        updated_at=now,
        triggered_at=None if known is None else known.triggered_at,
        schedule=known.schedule if known is not None and same_schedule else new.schedule,
        overlap=new.overlap,
        artifact=new.artifact,
        skipped=0 if known is None else known.skipped,
        firings=0 if known is None else known.firings,
    )
    if known is not None and same_schedule and known.active and new.active:
        return replace(row, fire_at=known.fire_at, wake_at=known.fire_at, late=known.late)
    return _plan(row, now)


def set_active(row: TriggerRow, *, active: bool, by: str, now: datetime) -> TriggerRow:
    """Return the revision in which a trigger is active or not; ``row`` itself if it is so already."""
    if row.active == active:
        return row
    action = RevisionAction.ACTIVATE if active else RevisionAction.DEACTIVATE
    return _plan(
        replace(
            row,
            revision=row.revision + 1,
            action=action,
            active=active,
            updated_by=by,
            updated_at=now,
        ),
        now,
    )


def delete(row: TriggerRow, *, by: str, now: datetime) -> TriggerRow:
    """Return the last revision of a trigger; a deployment under its name continues the numbers."""
    return replace(
        row,
        revision=row.revision + 1,
        action=RevisionAction.DELETE,
        active=False,
        updated_by=by,
        updated_at=now,
        deleted_at=now,
        fire_at=None,
        wake_at=None,
        late=0,
        error="",
        error_at=None,
    )


def advance(row: TriggerRow, fired: datetime, now: datetime) -> TriggerRow:
    """Return a trigger after the run of ``fired`` was created."""
    schedule = require_schedule(row)
    following = schedule.find_next(fired)
    late, skipped = 0, 0
    if following is not None and following <= now:
        late = row.late + 1
        if late >= MOST_LATE:
            late, skipped = 0, schedule.count_until(following, now)
            following = schedule.find_next(now)
    return replace(
        row,
        triggered_at=now,
        fire_at=following,
        wake_at=following,
        late=late,
        skipped=row.skipped + skipped,
        error=f"{skipped} instants were more than {MOST_LATE} too late" if skipped else "",
        error_at=now if skipped else None,
    )


def retry(row: TriggerRow, fired: datetime, now: datetime, *, error: str) -> TriggerRow:
    """Return a trigger whose run a full queue refused: tried again until the next instant."""
    following = require_schedule(row).find_next(fired)
    if following is not None and following <= now:
        return skip(row, fired, now, error=error)
    again = now + RETRY_AFTER
    return replace(
        row,
        wake_at=again if following is None else min(again, following),
        error=error[:MAX_ERROR],
        error_at=now,
    )


def skip(row: TriggerRow, fired: datetime, now: datetime, *, error: str) -> TriggerRow:
    """Return a trigger whose run was refused for good: the instants up to now start none."""
    schedule = require_schedule(row)
    following = schedule.find_next(max(fired, now))
    return replace(
        row,
        fire_at=following,
        wake_at=following,
        late=0,
        skipped=row.skipped + schedule.count_until(fired, max(fired, now)),
        error=error[:MAX_ERROR],
        error_at=now,
    )


def supersede(row: TriggerRow, fired: datetime, now: datetime) -> TriggerRow:
    """Return a trigger that skips the instants before the last that is due; ``row`` if there are none."""
    schedule = require_schedule(row)
    last = find_last(schedule, fired, now)
    if last == fired:
        return row
    passed = schedule.count_until(fired, last) - 1
    return replace(row, fire_at=last, wake_at=last, late=0, skipped=row.skipped + passed)


def postpone(row: TriggerRow, now: datetime, *, error: str) -> TriggerRow:
    """Return a trigger that is tried again for the same instant, however late."""
    return replace(row, wake_at=now + RETRY_AFTER, error=error[:MAX_ERROR], error_at=now)


def name_run(org: OrgName, key: TriggerKey, instant: datetime) -> RunKey:
    """Return the name of the run of a scheduled instant: always the same, so that it is made once."""
    parts = [org, key.project, key.domain, key.task_name, key.name, instant.isoformat()]
    identity = "\0".join(parts)
    digest = hashlib.sha256(identity.encode()).hexdigest()
    return RunKey(key.project, key.domain, RunName(f"t{digest[:19]}"))


def _plan(row: TriggerRow, now: datetime) -> TriggerRow:
    """Set the first instant after ``now``; none if the trigger is not active or has no schedule."""
    first = row.schedule.find_next(now) if row.schedule is not None and row.active else None
    return replace(row, fire_at=first, wake_at=first, late=0, error="", error_at=None)


def require_schedule(row: TriggerRow) -> Schedule:
    """Return the schedule of a trigger that is due, which has one."""
    if row.schedule is None:
        raise ValueError(f"trigger {row.key} has no schedule")
    return row.schedule
