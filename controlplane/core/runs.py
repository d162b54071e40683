"""
Runs: requests to create them, their details, and the scopes that select them.

A run is its root action ``a0``, and the settings that all its actions share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.core.actions import ActionDetail, ActionRow, RunSource, RunTrigger, Spec, TaskInfo
from controlplane.core.artifacts import ArtifactKey
from controlplane.core.caching import CacheRequest
from controlplane.core.callers import Scopes, in_scopes
from controlplane.core.notifications import NO_NOTIFICATIONS, Notifications
from controlplane.core.relations import Counterpart, Relation, RelationType, SourceRun
from shared.model.ids import ActionKey, ActionName, Digest, DomainName, ProjectName, RunId, RunKey

INPUTS_GRACE = timedelta(minutes=2)
"""
A run is created before its inputs are stored, and starts when they are.

If the replica stops in between, the run starts after this time with the inputs that are there.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """Request to create a run: its root action, and the settings its actions share."""

    key: ActionKey  # the root's; ``name`` is a0
    spec: Spec
    run_spec: Spec  # with the settings of its scope: all its actions get these
    info: TaskInfo
    input_uri: str
    run_base: str
    labels: Mapping[str, str] = field(default_factory=dict)
    source: RunSource = RunSource.UNSPECIFIED
    cache: CacheRequest | None = None
    overwrite_cache: bool = False  # of all its actions: no lookup, results replace entries
    is_cache_global: bool = True  # entries of other projects and domains count, too
    queue: str = ""
    raw_data_base: str = ""  # "": below run_base
    max_action_concurrency: int = 0  # 0 for no limit
    started_at: datetime | None = None  # a trigger's scheduled time
    requested_spec: Digest | None = None  # of the request's RunSpec, if settings changed it
    notifications: Notifications = NO_NOTIFICATIONS
    relation: Relation | None = None
    forced: Sequence[ActionName] = ()  # actions that a recovery runs again
    source_run: SourceRun | None = None  # the run that it recovers, once that was found
    recovered: Counterpart | None = None  # what its root takes over, if that needs not run
    inputs_run: RunKey | None = None  # the run whose data its inputs are; it need not exist
    trigger: RunTrigger | None = None  # the trigger that starts it

    @property
    def related_run(self) -> RunKey | None:
        """Return the run that it is related to, of the same project and domain."""
        run = self.key.run
        return RunKey(run.project, run.domain, self.relation.run) if self.relation else None

    @property
    def is_tracked(self) -> bool:
        """Return whether a program runs it, so that no cluster may."""
        return self.source is RunSource.TRACKED

    @property
    def spawned_by(self) -> RunKey | None:
        """Return the run whose task started it; it need not exist."""
        spawned = self.relation is not None and self.relation.type is RelationType.SPAWN
        return self.related_run if spawned else None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsUpload:
    """Inputs to store for a run that need not exist yet."""

    project: ProjectName
    domain: DomainName
    body: bytes  # a whole flyteidl2.task.Inputs
    base: str = ""  # of the run; "": the store's base
    artifacts: Sequence[ArtifactKey] = ()  # versions that they name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Request of a caller to create a run, with the code and inputs that the run needs."""

    new: NewRun
    code_bundle: str  # the address of the task's code; "": all code is in the image
    inputs: InputsUpload | None  # None: they are stored, at ``new.input_uri``


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    """A run's root action and its RunSpec."""

    root: ActionDetail
    run_spec: bytes
    started_at: datetime  # the kickoff time of a scheduled run


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """A run whose actions are watched."""

    key: RunKey
    id: RunId
    created_by: str
    recovers: bool  # another run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """
    Selects runs by project, domain, task, task version and trigger; "" matches any.

    With ``trigger_name``, ``task_name`` is the trigger's task.
    ``within``: where the caller may read runs, None for the whole org.
    """

    project: str = ""
    domain: str = ""
    task_name: str = ""
    task_version: str = ""
    trigger_name: str = ""
    cluster: str = ""  # those of which it has an attempt now
    paused_only: bool = False
    tracked: bool = False  # runs that programs report; otherwise those that clusters run
    within: Scopes | None = None

    def takes(self, root: ActionRow) -> bool:
        """Return whether a run is in this scope, by the fields of its root action."""
        run, info = root.key.run, root.info
        if self.trigger_name and (
            root.trigger is None
            or (root.trigger.task_name, root.trigger.name) != (self.task_name, self.trigger_name)
        ):
            return False
        if self.tracked is not (root.source is RunSource.TRACKED):
            return False
        return in_scopes(self.within, run.project, run.domain) and all(
            not expected or expected == actual
            for expected, actual in (
                (self.project, run.project),
                (self.domain, run.domain),
                (self.task_name, info.name),
                (self.task_version, info.version),
            )
        )
