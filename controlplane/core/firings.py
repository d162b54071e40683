"""
Firings: what became of the instants of a trigger, and its policy for runs that overlap. PURE.

A firing is one scheduled instant, several in a row that were skipped for one reason, or one run by
hand. The newest ``MOST_FIRINGS`` of each trigger are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from controlplane.core.errors import InvalidError
from controlplane.core.schedules import find_last
from controlplane.core.triggers import Overlap, TriggerRow, require_schedule

MOST_FIRINGS = 1_000
"""Firings kept for each trigger, the newest."""
ON_TIME = timedelta(seconds=30)
"""How long after its instant a run may be created and still be on time."""
MOST_EXAMINED = 20
"""Newest runs of a trigger of which one that has not ended holds back or is replaced by the next."""
OVERLAP_LABEL = "volary.dev/overlap"
"""Label of a trigger that chooses its policy."""


class FiringOutcome(IntEnum):
    UNKNOWN = 0  # read from a row that a later release wrote
    STARTED = 1
    SKIPPED = 2


class FiringReason(StrEnum):
    """Why a run was started when it was, or why an instant started none."""

    ON_TIME = "on_time"
    BY_HAND = "by_hand"
    ARTIFACT = "artifact"  # started: for a version of the artifact
    LATE = "late"  # started: no control plane fired it at its instant
    DELAYED = "delayed"  # started: it was refused at its instant, and tried again
    OVERLAP = "overlap"  # skipped: an earlier run has not ended
    SUPERSEDED = "superseded"  # skipped: a later instant was due, whose run replaces others
    REFUSED = "refused"  # skipped: no run could be created
    TOO_LATE = "too_late"  # skipped: too many instants were due at once
    RESTORED = "restored"  # skipped: before a restore it may have started a run, now forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One firing of a trigger."""

    number: int  # in the order of the decisions; grows by one
    outcome: FiringOutcome
    reason: str  # a FiringReason, or one of a later release
    message: str = ""
    instant: datetime  # the kickoff time; of the first if there are several
    last_instant: datetime  # of the last
    instants: int = 1  # up to 1,000 are counted
    decided_at: datetime
    run: str = ""  # that was started
    by: str = ""  # who started it by hand


@dataclass(frozen=True, slots=True)
class FiringPage:
    """One page of firings, and the token of the next page ("" at the end)."""

    rows: Sequence[Firing]
    token: str


def parse_overlap(labels: Mapping[str, str]) -> Overlap:
    """Read the policy of a trigger from the labels of its runs; InvalidError for an unknown one."""
    name = labels.get(OVERLAP_LABEL, Overlap.ALLOW.name.lower())
    try:
        return _OVERLAPS[name]
    except KeyError as error:
        raise InvalidError(
            f"spec.run_spec.labels.{OVERLAP_LABEL}: {name[:80]!r} is no policy for runs that"
            f" overlap; give one of {', '.join(_OVERLAPS)}"
        ) from error


def record_started(
    before: TriggerRow, after: TriggerRow, instant: datetime, run: str, now: datetime
) -> tuple[TriggerRow, Sequence[Firing]]:
    """
    Return the trigger and its firings after the run of ``instant`` was created.

    ``after`` skips instants if too many are due; they are a firing of their own.
    """
    if now - instant <= ON_TIME:
        reason, message = FiringReason.ON_TIME, ""
    elif before.error_at is not None and before.error_at >= instant:
        reason, message = FiringReason.DELAYED, before.error
    else:
        reason, message = FiringReason.LATE, "no control plane fired it at its instant"
    started = Firing(
        number=before.firings + 1,
        outcome=FiringOutcome.STARTED,
        reason=reason,
        message=message,
        instant=instant,
        last_instant=instant,
        decided_at=now,
        run=run,
    )
    after = replace(after, firings=started.number)
    following = require_schedule(before).find_next(instant)
    if following is None or after.skipped == before.skipped:
        return after, [started]
    after, skipped = record_skipped(
        replace(before, firings=started.number), after, following, now, FiringReason.TOO_LATE
    )
    return after, [started, *skipped]


def record_skipped(
    before: TriggerRow, after: TriggerRow, first: datetime, now: datetime, reason: FiringReason
) -> tuple[TriggerRow, Sequence[Firing]]:
    """Return the trigger and its firing after it skipped the instants from ``first`` on."""
    end = max(first, now)
    if after.fire_at is not None:
        end = min(end, after.fire_at - timedelta(microseconds=1))
    skipped = Firing(
        number=before.firings + 1,
        outcome=FiringOutcome.SKIPPED,
        reason=reason,
        message=_MESSAGES.get(reason, after.error),
        instant=first,
        last_instant=find_last(require_schedule(before), first, end),
        instants=after.skipped - before.skipped,
        decided_at=now,
    )
    return replace(after, firings=skipped.number), [skipped]


_MESSAGES = {FiringReason.SUPERSEDED: "a later instant was due as well"}
_OVERLAPS = {policy.name.lower(): policy for policy in Overlap}
