"""The timeline of any action covers each instant of its life once."""

from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from hypothesis import given, strategies as st

from controlplane.core.action_timings import (
    ActionTimings,
    AttemptTimings,
    ReportedEvent,
    ReturnedLease,
)
from controlplane.core.actions import ActionType
from controlplane.core.explanations import explain
from controlplane.core.pending_reasons import (
    BlockedKind,
    BlockedScope,
    PastPendingReason,
)
from controlplane.core.reason_codes import Reason
from shared.model.phases import TERMINAL, Phase
from tests.factories import NOW
from tests.unit.controlplane.core.explained import (
    ACCEPTED,
    CLUSTER,
    LEASED,
    POOL,
    QUEUE,
    QUEUE_RUNS,
    RUN,
    SECOND,
    WAITING,
    timings,
)

timestamps = st.integers(-20, 60).map(lambda seconds: NOW + seconds * SECOND)
blocked_scopes = st.sampled_from(
    [POOL, QUEUE, QUEUE_RUNS, RUN, CLUSTER, BlockedScope(BlockedKind.CLUSTER, "c2")]
)
pending_reasons_of = st.sampled_from(
    [Reason.NO_CLUSTER, Reason.NO_CREDIT, Reason.QUEUE_LIMIT, Reason.CLUSTER_SILENT]
)
some_past = st.lists(
    st.builds(
        PastPendingReason,
        blocked=blocked_scopes,
        reason=pending_reasons_of,
        message=st.just("So it is."),
        began_at=timestamps,
        ended_at=st.none() | timestamps,
    ),
    max_size=8,
)
some_reports = st.lists(
    st.builds(
        ReportedEvent,
        at=timestamps,
        phase=st.sampled_from(list(Phase)),
        reason=st.just(""),
        message=st.just(""),
    ),
    max_size=5,
)
some_attempts = st.lists(
    st.builds(
        AttemptTimings,
        number=st.integers(1, 4),
        cluster=st.sampled_from(["c1", "c2"]),
        available_at=timestamps,
        leased_at=timestamps,
        accepted_at=st.none() | timestamps,
        ended_at=st.none() | timestamps,
        reported=some_reports,
        returned=st.lists(
            st.builds(
                ReturnedLease,
                cluster=st.sampled_from(["c1", "c2"]),
                leased_at=timestamps,
                returned_at=timestamps,
            ),
            max_size=2,
        ),
    ),
    max_size=4,
    unique_by=lambda attempt: attempt.number,
)
some_timings = st.builds(
    timings,
    type=st.sampled_from(list(ActionType)),
    phase=st.sampled_from(list(Phase)),
    ended_at=st.none() | timestamps,
    is_root=st.booleans(),
    attempts=some_attempts,
    dispatch=st.sampled_from([None, WAITING, replace(WAITING, attempt=3), LEASED, ACCEPTED]),
    past=some_past,
)


@given(some_timings, timestamps)
def test_timeline_has_no_gaps_and_no_overlaps(known: ActionTimings, now: datetime) -> None:
    text = explain(known, {}, now)
    intervals = text.timeline
    end = max(known.ended_at or now, known.created_at)
    if end == known.created_at:
        assert intervals == []
        return
    assert intervals[0].started_at == known.created_at
    assert intervals[-1].ended_at == end
    assert all(each.started_at < each.ended_at for each in intervals)
    for earlier, later in pairwise(intervals):
        assert earlier.ended_at == later.started_at
        assert earlier.reason is not later.reason
    assert all(each.message for each in intervals)
    assert (text.now.reason is Reason.ENDED) is (known.phase in TERMINAL)
