"""Timings of actions to explain, and what their explanations say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controlplane.core.action_timings import (
    ActionTimings,
    DispatchTimings,
    ReportedEvent,
)
from controlplane.core.actions import ActionType
from controlplane.core.explanations import Explained
from controlplane.core.pending_reasons import (
    BlockedKind,
    BlockedScope,
)
from controlplane.core.reason_codes import Reason
from shared.model.phases import Phase
from tests.factories import NOW, make_action_key

SECOND = timedelta(seconds=1)
WAITING = DispatchTimings(
    action=make_action_key("n"),
    phase=Phase.QUEUED,
    attempt=1,
    is_root=False,
    pool="",
    queue="q",
    run="r",
    available_at=NOW,
)
LEASED = replace(WAITING, cluster="c1", leased_at=NOW)
ACCEPTED = replace(LEASED, accepted_at=NOW)
POOL, QUEUE, RUN = (
    BlockedScope(BlockedKind.POOL, ""),
    BlockedScope(BlockedKind.QUEUE, "q"),
    BlockedScope(BlockedKind.RUN, "r"),
)
QUEUE_RUNS, CLUSTER = (
    BlockedScope(BlockedKind.QUEUE_RUNS, "q"),
    BlockedScope(BlockedKind.CLUSTER, "c1"),
)


def reported(
    phase: Phase, reason: str = "", message: str = "", at: datetime = NOW
) -> ReportedEvent:
    return ReportedEvent(at=at, phase=phase, reason=reason, message=message)


def timings(**changes: object) -> ActionTimings:
    made = ActionTimings(
        action=make_action_key("n"),
        type=ActionType.TASK,
        phase=Phase.QUEUED,
        created_at=NOW,
        ended_at=None,
        is_root=False,
        pool="",
        queue="q",
        run="r",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def reasons(found: Sequence[object] | Explained) -> list[tuple[Reason, float]]:
    intervals = found.timeline if isinstance(found, Explained) else found
    return [
        (each.reason, (each.ended_at - each.started_at).total_seconds())  # type: ignore[attr-defined]
        for each in intervals
    ]
