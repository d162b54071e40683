"""
Tracked runs: applies the reports of a program that runs its tasks itself. PURE.

A tracked run (`flyte run --tracked`) is never dispatched: the SDK executes it where it was started
and reports its actions. Reports may be repeated, reordered and lost, so each is applied by the
version of its attempt, and phases only advance. ``Tree`` holds the actions that a batch of reports
names, and collects what the batch changes.

An action that FAILED runs again when its next attempt is reported: the SDK reports the failure of
an attempt and of its action alike. ABORTED is final, and the only end that refuses later reports.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from controlplane.core.actions import ActionType, Spec, SpecKind, TaskInfo
from controlplane.core.caching import CacheStatus
from shared.model.ids import ROOT, ActionId, ActionName, Digest
from shared.model.phases import TERMINAL, Phase, UnlawfulPhaseError, advance
from shared.model.reports import Failure

MAX_ATTEMPT = 1_001
"""The highest attempt of an action: its first, and as many retries as a task may have."""
MAX_VERSION = 1_000_000
"""The highest version of a report about one attempt."""
MAX_CHANGES = 1_000_000
"""Most changes of actions in one tracked run: what bounds its actions and their attempts."""
CLOCK_TOLERANCE = timedelta(days=1)
"""A report is dated back by at most this, whatever the program's clock says."""

PLACEHOLDER = Spec(
    digest=Digest(hashlib.sha256(b"").digest()), kind=SpecKind.TASK, body=b"", has_outputs=False
)
"""The spec of an action of which no report has come yet, only those of its children."""

REPORTER_LOST = (
    "its reporter was lost: no report came in time from the program that ran it; it was killed, lost"
    " its connection, or ran one task for longer than VOLARY_TRACKED_RUN_TIMEOUT_SECONDS"
)
"""Why a run is aborted that is not reported any more."""

REPORTED_FAILURE = "ReportedFailure"
"""Error code of a failure that was reported without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Parent, type and spec of an action; part of the first report about it."""

    parent: ActionName
    type: ActionType
    spec: Spec
    info: TaskInfo
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A report about one attempt of one action."""

    name: ActionName
    attempt: int  # from 1
    version: int  # of the attempt, from 1
    phase: Phase
    at: datetime
    started_at: datetime | None = None
    failure: Failure | None = None
    has_outputs: bool = False
    has_report: bool = False
    cache_status: CacheStatus = CacheStatus.DISABLED
    described: Description | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedAttempt:
    number: int
    phase: Phase = Phase.QUEUED
    version: int = 0  # of the last report applied
    began_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: Failure | None = None
    has_outputs: bool = False
    has_report: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedAction:
    id: ActionId
    name: ActionName
    parent: ActionName | None  # None: the root
    type: ActionType = ActionType.TASK
    described: Description | None = None  # of a new action, and of one that gets it now
    is_placeholder: bool = False  # only named as a parent so far
    phase: Phase = Phase.QUEUED
    attempts: int = 1
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: Failure | None = None
    has_outputs: bool = False
    has_report: bool = False
    cache_status: CacheStatus = CacheStatus.DISABLED


@dataclass(frozen=True, slots=True)
class History:
    """One change of an attempt's phase."""

    action: ActionId
    attempt: int
    version: int
    phase: Phase
    at: datetime


AttemptKey = tuple[ActionName, int]


@dataclass(slots=True)
class Tree:
    """
    The actions and attempts that a batch names, and what it changes.

    ``ancestors``: of each action that exists, if a placeholder gets its description now, the names of
    the actions above it. ``created_at`` is the run's.
    """

    actions: dict[ActionName, TrackedAction]
    attempts: dict[AttemptKey, TrackedAttempt]
    ancestors: Mapping[ActionName, frozenset[ActionName]]
    new_id: Callable[[], ActionId]
    created_at: datetime
    now: datetime
    new: dict[ActionName, None] = field(default_factory=dict)  # ordered: parents come first
    changed: dict[ActionName, None] = field(default_factory=dict)
    changed_attempts: dict[AttemptKey, None] = field(default_factory=dict)
    history: list[History] = field(default_factory=list)

    def apply(self, update: Update) -> str:
        """Apply a report; return why it was refused, "" if it was applied or is no news."""
        known = self.attempts.get((update.name, update.attempt))
        if known is not None and update.version <= known.version:
            return ""
        if self.actions[ROOT].phase is Phase.ABORTED:
            return "its run was aborted; stop the program, and start another run"
        action = self.actions.get(update.name)
        if action is None:
            if refusal := self._create(update):
                return refusal
            action = self.actions[update.name]
        elif action.phase is Phase.ABORTED:
            return "it was aborted"
        elif action.is_placeholder and update.described is not None:
            action = self._describe(action, update.described)
        self._take(action, known, update)
        return ""

    def ended_root(self) -> bool:
        """Return whether the batch has ended the run for good; a FAILED root may run again."""
        return ROOT in self.changed and self.actions[ROOT].phase in TERMINAL - {Phase.FAILED}

    def _create(self, update: Update) -> str:
        """Create an action; below the root if its first report, which describes it, was lost."""
        described = update.described or self._stand_in(update.name)
        if described.parent == update.name:
            return "parent_name: an action is not its own parent"
        if described.parent not in self.actions:
            stand_in = self._stand_in(described.parent)
            self._add(described.parent, stand_in, is_placeholder=True)
        self._add(update.name, described, is_placeholder=update.described is None)
        return ""

    def _add(
        self, name: ActionName, described: Description, *, is_placeholder: bool = False
    ) -> None:
        self.actions[name] = TrackedAction(
            id=self.new_id(),
            name=name,
            parent=described.parent,
            type=described.type,
            described=described,
            is_placeholder=is_placeholder,
        )
        self.new[name] = None

    def _stand_in(self, name: ActionName) -> Description:
        return Description(
            parent=ROOT,
            type=ActionType.TASK,
            spec=PLACEHOLDER,
            info=TaskInfo(name=name, short_name=name),
        )

    def _describe(self, action: TrackedAction, described: Description) -> TrackedAction:
        """Fill in a placeholder; one that would come below itself stays below its parent."""
        parent = described.parent
        if parent not in self.actions and parent != action.name:
            self._add(parent, self._stand_in(parent), is_placeholder=True)
        if self._is_above(action.name, parent):
            parent = action.parent or ROOT
        described = replace(described, parent=parent)
        return replace(
            action, parent=parent, type=described.type, described=described, is_placeholder=False
        )

    def _is_above(self, name: ActionName, below: ActionName) -> bool:
        """Return whether ``name`` is ``below`` or one of the actions above it."""
        step: ActionName | None = below
        while step is not None and step != name:
            if name in self.ancestors.get(step, frozenset()):
                return True
            action = self.actions.get(step)
            step = action.parent if action is not None else None
        return step == name

    def _take(self, action: TrackedAction, known: TrackedAttempt | None, update: Update) -> None:
        at = self._clamp(update.at)
        before = known or TrackedAttempt(number=update.attempt, began_at=at)
        key = (update.name, update.attempt)
        attempt = self._advance(before, update, at)
        self.attempts[key] = attempt
        self.changed_attempts[key] = None
        if known is None or attempt.phase is not before.phase:
            self.history.append(
                History(action.id, update.attempt, update.version, attempt.phase, at)
            )
        self.actions[update.name] = self._after(action, attempt, update)
        self.changed[update.name] = None

    def _advance(self, before: TrackedAttempt, update: Update, at: datetime) -> TrackedAttempt:
        try:
            phase = advance(before.phase, update.phase)
        except UnlawfulPhaseError:
            phase = before.phase
        if before.phase in TERMINAL:
            return replace(before, version=update.version)
        started_at = before.started_at
        if started_at is None and phase in _STARTED:
            started_at = (
                at if update.started_at is None else min(self._clamp(update.started_at), at)
            )
        return replace(
            before,
            version=update.version,
            phase=phase,
            started_at=started_at,
            ended_at=at if phase in TERMINAL else None,
            failure=update.failure if phase in _BAD_ENDS else None,
            has_outputs=update.has_outputs and phase is Phase.SUCCEEDED,
            has_report=update.has_report or before.has_report,
        )

    def _after(
        self, action: TrackedAction, attempt: TrackedAttempt, update: Update
    ) -> TrackedAction:
        """Return the action after a report about one of its attempts; it follows the latest."""
        has_ended = action.phase in TERMINAL - {Phase.FAILED}
        if attempt.number < action.attempts or has_ended:
            return action
        if action.phase is Phase.FAILED and attempt.number == action.attempts:
            return action
        return replace(
            action,
            phase=attempt.phase,
            attempts=attempt.number,
            started_at=action.started_at or attempt.started_at,
            ended_at=attempt.ended_at,
            failure=attempt.failure,
            has_outputs=attempt.has_outputs,
            has_report=attempt.has_report,
            cache_status=update.cache_status,
        )

    def _clamp(self, at: datetime) -> datetime:
        return min(max(at, self.created_at, self.now - CLOCK_TOLERANCE), self.now)


_STARTED = frozenset({Phase.RUNNING}) | TERMINAL
_BAD_ENDS = frozenset({Phase.FAILED, Phase.TIMED_OUT, Phase.ABORTED})


def names_in(updates: Iterable[Update]) -> Sequence[ActionName]:
    """Return the names of all actions that the reports name, the root's among them."""
    named = {ROOT}
    for update in updates:
        named.add(update.name)
        if update.described is not None:
            named.add(update.described.parent)
    return sorted(named)
