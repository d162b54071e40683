"""Explanations of actions: the reason of each state, and timelines without gaps."""

from dataclasses import replace
from datetime import datetime

import pytest

from controlplane.core.action_timings import (
    Ahead,
    AttemptTimings,
    DispatchTimings,
    ReturnedLease,
)
from controlplane.core.actions import ActionType
from controlplane.core.caching import CacheSource
from controlplane.core.explanations import explain, explain_dispatch, timeline
from controlplane.core.pending_reasons import (
    BlockedKind,
    BlockedScope,
    OrgUse,
    PastPendingReason,
    PendingReason,
    RunCascade,
    find,
)
from controlplane.core.reason_codes import Reason
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_action_key, make_failure
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
    reasons,
    reported,
    timings,
)


def pending(reason: Reason) -> PendingReason:
    return PendingReason(reason=reason, message=f"{reason} it is.")


def test_explanation_names_the_equal_action_that_is_waited_for() -> None:
    waits = timings(dispatch=None, waits_for=make_action_key("c1", run="r2"))
    explained = explain(waits, {}, NOW + SECOND)
    assert explained.now.reason is Reason.EQUAL_ACTION
    assert "waits for the equal action p/development/r2/c1" in explained.now.message
    assert [each.reason for each in explained.timeline] == [Reason.EQUAL_ACTION]


def test_explanation_of_a_hit_names_the_attempt_whose_outputs_it_got() -> None:
    source = CacheSource(action=make_action_key("c1", run="r2"), attempt=3)
    hit = timings(dispatch=None, phase=Phase.SUCCEEDED, cached_from=source, ended_at=NOW + SECOND)
    message = explain(hit, {}, NOW + SECOND).now.message
    assert "with the cached outputs of attempt 3 of p/development/r2/c1" in message


def with_report(phase: Phase, reason: str = "", message: str = "") -> DispatchTimings:
    return replace(ACCEPTED, phase=phase, reported=reported(phase, reason, message))


@pytest.mark.parametrize(
    ("dispatch", "pending_reasons", "reason", "words"),
    [
        (WAITING, {}, Reason.FAIRNESS, "waits for its turn"),
        (
            replace(WAITING, attempt=2, available_at=NOW + SECOND),
            {POOL: pending(Reason.NO_CLUSTER)},
            Reason.BACKOFF,
            "Attempt 2 starts after 2026-06-01 12:00:01 UTC",
        ),
        (WAITING, {POOL: pending(Reason.NO_CLUSTER)}, Reason.NO_CLUSTER, "it is"),
        (WAITING, {POOL: pending(Reason.NO_CREDIT)}, Reason.NO_CREDIT, "it is"),
        (WAITING, {QUEUE: pending(Reason.QUEUE_LIMIT)}, Reason.QUEUE_LIMIT, "it is"),
        (WAITING, {RUN: pending(Reason.RUN_LIMIT)}, Reason.RUN_LIMIT, "it is"),
        (
            WAITING,
            {POOL: pending(Reason.NO_CREDIT), RUN: pending(Reason.RUN_LIMIT)},
            Reason.RUN_LIMIT,
            "it is",
        ),
        (
            WAITING,
            {POOL: pending(Reason.NO_CLUSTER), QUEUE: pending(Reason.QUEUE_LIMIT)},
            Reason.NO_CLUSTER,
            "it is",
        ),
        # A limit of runs holds back roots, one of a run's actions everything but its root.
        (WAITING, {QUEUE_RUNS: pending(Reason.QUEUE_LIMIT)}, Reason.FAIRNESS, "turn"),
        (
            replace(WAITING, is_root=True),
            {QUEUE_RUNS: pending(Reason.QUEUE_LIMIT), RUN: pending(Reason.RUN_LIMIT)},
            Reason.QUEUE_LIMIT,
            "it is",
        ),
        (replace(WAITING, is_root=True), {RUN: pending(Reason.RUN_LIMIT)}, Reason.FAIRNESS, ""),
        (LEASED, {POOL: pending(Reason.NO_CREDIT)}, Reason.LEASED_NOT_ACCEPTED, "cluster c1"),
        (ACCEPTED, {}, Reason.ACCEPTED_NOT_STARTED, "no start yet"),
        (with_report(Phase.QUEUED), {}, Reason.ACCEPTED_NOT_STARTED, ""),
        (
            with_report(Phase.WAITING_FOR_RESOURCES, "Unschedulable", "0/3 nodes"),
            {},
            Reason.UNSCHEDULABLE,
            "waiting for resources, 0/3 nodes.",
        ),
        (with_report(Phase.WAITING_FOR_RESOURCES), {}, Reason.WAITING_FOR_RESOURCES, ""),
        (with_report(Phase.INITIALIZING, "ImagePullBackOff"), {}, Reason.IMAGE, "ImagePullBackOff"),
        (with_report(Phase.INITIALIZING, "Pulling"), {}, Reason.IMAGE, ""),
        (with_report(Phase.INITIALIZING, "StartingProcess"), {}, Reason.INITIALIZING, ""),
        (with_report(Phase.RUNNING), {}, Reason.RUNNING, "It is running."),
        (
            with_report(Phase.RUNNING),
            {CLUSTER: pending(Reason.CLUSTER_SILENT)},
            Reason.CLUSTER_SILENT,
            "it is",
        ),
        (
            replace(with_report(Phase.RUNNING), stop_reason="cluster c1 is drained", stop_at=NOW),
            {CLUSTER: pending(Reason.CLUSTER_SILENT)},
            Reason.STOPPING,
            "was asked to stop it and has not confirmed yet: cluster c1 is drained.",
        ),
    ],
)
def test_explanation_of_each_state_has_its_reason(
    dispatch: DispatchTimings,
    pending_reasons: dict[BlockedScope, PendingReason],
    reason: Reason,
    words: str,
) -> None:
    found = explain_dispatch(dispatch, pending_reasons, NOW)
    assert found.reason is reason
    assert words in found.message
    assert found.message.endswith(".")


def test_explanation_of_waiting_action_counts_actions_ahead() -> None:
    ahead = Ahead(of_higher_priority=3, of_its_run=0, beside_it=1_001)
    message = explain_dispatch(WAITING, {}, NOW, ahead=ahead).message
    assert "3 of a higher priority" in message
    assert "0 of its own run" in message
    assert "more than 1,000 of other runs" in message
    none_ahead = Ahead(of_higher_priority=0, of_its_run=0, beside_it=0)
    assert "It is next" in explain_dispatch(WAITING, {}, NOW, ahead=none_ahead).message


def test_explanation_of_running_action_in_full_queue_is_queue_full() -> None:
    running = with_report(Phase.RUNNING)
    assert explain_dispatch(running, {}, NOW, is_full=True).reason is Reason.QUEUE_FULL
    assert explain_dispatch(WAITING, {}, NOW, is_full=True).reason is Reason.FAIRNESS


def test_timeline_explains_each_second_of_two_attempts() -> None:
    def at(seconds: float) -> datetime:
        return NOW + seconds * SECOND

    def past(
        blocked: BlockedScope, reason: Reason, start: float, end: float | None
    ) -> PastPendingReason:
        return PastPendingReason(
            blocked=blocked,
            reason=reason,
            message=f"{reason}.",
            began_at=at(start),
            ended_at=None if end is None else at(end),
        )

    first = AttemptTimings(
        number=1,
        cluster="c1",
        available_at=at(0),
        leased_at=at(12),
        accepted_at=at(13),
        ended_at=at(20),
        returned=[ReturnedLease(cluster="c0", leased_at=at(5), returned_at=at(8))],
        reported=[
            reported(Phase.INITIALIZING, "ErrImagePull", at=at(14)),
            reported(Phase.INITIALIZING, "Created", at=at(15)),
            reported(Phase.RUNNING, at=at(16)),
            reported(Phase.FAILED, at=at(20)),
        ],
    )
    second = AttemptTimings(
        number=2,
        cluster="c1",
        available_at=at(25),
        leased_at=at(30),
        accepted_at=at(31),
        ended_at=at(40),
        reported=[reported(Phase.RUNNING, at=at(32))],
    )
    life = timings(
        phase=Phase.SUCCEEDED,
        ended_at=at(40),
        attempts=[first, second],
        past=[
            past(POOL, Reason.NO_CLUSTER, -10, 2),
            past(QUEUE, Reason.QUEUE_LIMIT, 1, 4),
            past(POOL, Reason.NO_CREDIT, 3, 5),
            past(BlockedScope(BlockedKind.POOL, "other"), Reason.NO_CLUSTER, 0, None),
            past(RUN, Reason.RUN_LIMIT, 26, 30),
            past(CLUSTER, Reason.CLUSTER_SILENT, 35, 38),
            past(BlockedScope(BlockedKind.CLUSTER, "c0"), Reason.CLUSTER_SILENT, 6, 60),
        ],
    )
    text = timeline(life, at(99))
    assert reasons(text) == [
        (Reason.NO_CLUSTER, 2),
        (Reason.QUEUE_LIMIT, 2),
        (Reason.NO_CREDIT, 1),
        (Reason.LEASED_NOT_ACCEPTED, 1),
        (Reason.CLUSTER_SILENT, 2),
        (Reason.FAIRNESS, 4),
        (Reason.LEASED_NOT_ACCEPTED, 1),
        (Reason.ACCEPTED_NOT_STARTED, 1),
        (Reason.IMAGE, 1),
        (Reason.INITIALIZING, 1),
        (Reason.RUNNING, 4),
        (Reason.BACKOFF, 5),
        (Reason.FAIRNESS, 1),
        (Reason.RUN_LIMIT, 4),
        (Reason.LEASED_NOT_ACCEPTED, 1),
        (Reason.ACCEPTED_NOT_STARTED, 1),
        (Reason.RUNNING, 3),
        (Reason.CLUSTER_SILENT, 3),
        (Reason.RUNNING, 2),
    ]


def test_timeline_of_returned_lease_is_waiting_again() -> None:
    went_back = AttemptTimings(
        number=1, cluster="c1", available_at=NOW, leased_at=NOW + SECOND, accepted_at=None,
        ended_at=None,
    )  # fmt: skip
    text = timeline(timings(attempts=[went_back], dispatch=WAITING), NOW + 9 * SECOND)
    assert reasons(text) == [(Reason.FAIRNESS, 9)]
    lease = ReturnedLease(cluster="c1", leased_at=NOW + SECOND, returned_at=NOW + 3 * SECOND)
    text = timeline(
        timings(attempts=[replace(went_back, returned=[lease])], dispatch=WAITING), NOW + 9 * SECOND
    )
    assert reasons(text) == [
        (Reason.FAIRNESS, 1),
        (Reason.LEASED_NOT_ACCEPTED, 2),
        (Reason.FAIRNESS, 6),
    ]


def test_timeline_of_unaccepted_lease_is_leased_not_accepted() -> None:
    leased = AttemptTimings(
        number=1, cluster="c1", available_at=NOW, leased_at=NOW + SECOND, accepted_at=None,
        ended_at=None,
    )  # fmt: skip
    text = timeline(timings(attempts=[leased], dispatch=LEASED), NOW + 9 * SECOND)
    assert reasons(text) == [(Reason.FAIRNESS, 1), (Reason.LEASED_NOT_ACCEPTED, 8)]


def test_explanation_between_attempts_is_backoff() -> None:
    failed = AttemptTimings(
        number=1, cluster="c1", available_at=NOW, leased_at=NOW, accepted_at=NOW,
        ended_at=NOW + SECOND, reported=[reported(Phase.RUNNING)],
    )  # fmt: skip
    waits = replace(WAITING, attempt=2, available_at=NOW + 5 * SECOND)
    text = explain(timings(attempts=[failed], dispatch=waits), {}, NOW + 4 * SECOND)
    assert reasons(text) == [(Reason.RUNNING, 1), (Reason.BACKOFF, 3)]
    assert (text.now.reason, text.attempt) == (Reason.BACKOFF, 2)


def test_explanation_of_root_and_child_names_the_cascade_of_their_run() -> None:
    use = OrgUse(org=ORG, cascades=[RunCascade(run="r", action="n3", since=NOW)])
    whole_run = BlockedScope(BlockedKind.WHOLE_RUN, "r")
    blocked = {RUN: pending(Reason.RUN_LIMIT), whole_run: find(use)[whole_run]}
    for is_root in (True, False):
        why = explain_dispatch(replace(WAITING, is_root=is_root), blocked, NOW)
        assert why.reason is Reason.CASCADE
        assert "Action n3 of the run has ended" in why.message
    other = explain_dispatch(replace(WAITING, run="other"), blocked, NOW)
    assert other.reason is Reason.FAIRNESS


def test_explanation_before_the_first_attempt_is_the_storing_of_inputs() -> None:
    waits = replace(WAITING, available_at=NOW + 5 * SECOND)
    text = explain(timings(dispatch=waits), {}, NOW + 4 * SECOND)
    assert reasons(text) == [(Reason.STORING_INPUTS, 4)]
    assert text.now.reason is Reason.STORING_INPUTS
    assert "inputs are being stored" in text.now.message
    later = explain(timings(dispatch=waits), {}, NOW + 8 * SECOND)
    assert reasons(later) == [(Reason.STORING_INPUTS, 5), (Reason.FAIRNESS, 3)]


def test_explanation_of_ended_action_names_failure_and_unconfirmed_stop() -> None:
    failed = timings(phase=Phase.FAILED, ended_at=NOW, failure=make_failure())
    assert explain(failed, {}, NOW).now.message == "It ended FAILED, Broken: it broke."
    aborted = timings(
        phase=Phase.ABORTED, ended_at=NOW, abort_reason="enough", aborted_by="me", dispatch=LEASED
    )
    assert explain(aborted, {}, NOW).now.message == (
        "It ended ABORTED: enough (me); cluster c1 has not yet confirmed that it stopped."
    )


def test_explanation_covers_conditions_and_traces() -> None:
    condition = timings(type=ActionType.CONDITION, phase=Phase.PAUSED)
    text = explain(condition, {}, NOW + 5 * SECOND)
    assert text.now.reason is Reason.SIGNAL
    assert reasons(text) == [(Reason.SIGNAL, 5)]
    trace = timings(type=ActionType.TRACE, phase=Phase.SUCCEEDED, ended_at=NOW + SECOND)
    assert reasons(explain(trace, {}, NOW + 5 * SECOND)) == [(Reason.RUNNING, 1)]


def test_action_of_a_tracked_run_is_run_by_its_program_from_start_to_end() -> None:
    attempt = AttemptTimings(
        number=2,
        cluster="",
        available_at=NOW + 2 * SECOND,
        leased_at=NOW + 2 * SECOND,
        accepted_at=None,
        ended_at=None,
    )
    live = explain(
        timings(phase=Phase.RUNNING, attempts=[attempt], is_tracked=True), {}, NOW + 5 * SECOND
    )
    ended = timings(
        phase=Phase.SUCCEEDED, attempts=[attempt], is_tracked=True, ended_at=NOW + 3 * SECOND
    )

    assert "no cluster does" in live.now.message
    assert reasons(live) == [(Reason.RUNNING, 5)]
    assert reasons(explain(ended, {}, NOW + 5 * SECOND)) == [(Reason.RUNNING, 3)]
