"""Tests of a run's activity: averages over buckets, and reasons of what waited."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from controlplane.core.pending_reasons import BlockedKind, BlockedScope, PastPendingReason
from controlplane.core.reason_codes import Reason
from controlplane.core.run_activity import (
    Activity,
    Changes,
    Doing,
    Lane,
    period_of,
    scopes_of,
    summarize_activity,
)
from tests.factories import NOW

GPUS = Lane(Doing.WAITING, pool="gpus", queue="q")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def summarize(*changes: Changes, past: Sequence[PastPendingReason] = ()) -> Activity:
    """Summarize four buckets of ten seconds."""
    return summarize_activity(changes, past, run="r", since=NOW, until=at(40), buckets=4)


def held(reason: Reason, began: float, ended: float | None) -> PastPendingReason:
    return PastPendingReason(
        blocked=BlockedScope(BlockedKind.POOL, "gpus"),
        reason=reason,
        message="",
        began_at=at(began),
        ended_at=None if ended is None else at(ended),
    )


def test_running_attempts_are_averaged_over_buckets() -> None:
    lane = Lane(Doing.RUNNING)
    found = summarize(
        Changes(lane=lane, bucket=0, count=2, rest=1.5),  # one of them began half way
        Changes(lane=lane, bucket=2, count=-1, rest=-0.25),
    )
    assert [bucket.running for bucket in found.buckets] == [1.5, 2.0, 1.75, 1.0]
    assert [bucket.starting for bucket in found.buckets] == [0.0] * 4
    assert found.buckets[0].waiting == {}


@pytest.mark.parametrize(
    ("doing", "reason"), [(Doing.BACKOFF, Reason.BACKOFF), (Doing.SIGNAL, Reason.SIGNAL)]
)
def test_backoff_and_conditions_wait_for_their_own_reason(doing: Doing, reason: Reason) -> None:
    found = summarize(Changes(lane=Lane(doing), bucket=1, count=1, rest=1.0))
    assert [bucket.waiting for bucket in found.buckets] == [{}, *[{reason: 1.0}] * 3]


def test_starting_attempts_are_counted_apart() -> None:
    found = summarize(Changes(lane=Lane(Doing.STARTING), bucket=3, count=1, rest=0.5))
    assert [bucket.starting for bucket in found.buckets] == [0.0, 0.0, 0.0, 0.5]


def test_waiting_is_split_by_the_most_severe_reason_that_held() -> None:
    found = summarize(
        Changes(lane=GPUS, bucket=0, count=4, rest=4.0),
        past=[
            held(Reason.NO_CREDIT, 5, None),
            held(Reason.NO_CLUSTER, 20, 30),
        ],
    )
    assert [bucket.waiting for bucket in found.buckets] == [
        {Reason.FAIRNESS: 2.0, Reason.NO_CREDIT: 2.0},
        {Reason.NO_CREDIT: 4.0},
        {Reason.NO_CLUSTER: 4.0},
        {Reason.NO_CREDIT: 4.0},
    ]


def test_reasons_of_other_pools_do_not_apply() -> None:
    other = Lane(Doing.WAITING, pool="tpus")
    found = summarize(
        Changes(lane=other, bucket=0, count=1, rest=1.0), past=[held(Reason.NO_CREDIT, 0, None)]
    )
    assert found.buckets[0].waiting == {Reason.FAIRNESS: 1.0}


def test_scopes_are_those_of_lanes_that_wait() -> None:
    assert scopes_of([Lane(Doing.RUNNING)], "r") == frozenset()
    assert BlockedScope(BlockedKind.POOL, "gpus") in scopes_of([GPUS], "r")


def test_period_is_the_run_unless_another_is_asked_for() -> None:
    assert period_of(NOW, at(5), since=None, until=None) == (NOW, at(5))
    assert period_of(NOW, at(5), since=at(1), until=at(2)) == (at(1), at(2))
    assert period_of(NOW, NOW, since=None, until=None)[1] > NOW
