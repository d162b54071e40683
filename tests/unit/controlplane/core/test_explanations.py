"""We test the reason of each state, and that a timeline accounts for every second, once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from controlplane.core.actions import ActionType
from controlplane.core.explanations import Explained, explain, explain_dispatch, timeline
from controlplane.core.facts import (
    ActionFacts,
    Ahead,
    AttemptFacts,
    DispatchFacts,
    ReturnedLease,
    Said,
)
from controlplane.core.obstacles import Obstacle, PastObstacle, Place, Scope
from controlplane.core.reasons import Reason
from shared.model.phases import TERMINAL, Phase
from tests.factories import NOW, make_action_key, make_failure

SECOND = timedelta(seconds=1)
WAITING = DispatchFacts(
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
POOL, QUEUE, RUN = Place(Scope.POOL, ""), Place(Scope.QUEUE, "q"), Place(Scope.RUN, "r")
QUEUE_RUNS, CLUSTER = Place(Scope.QUEUE_RUNS, "q"), Place(Scope.CLUSTER, "c1")


def said(phase: Phase, reason: str = "", message: str = "", at: datetime = NOW) -> Said:
    return Said(at=at, phase=phase, reason=reason, message=message)


def in_the_way(reason: Reason) -> Obstacle:
    return Obstacle(reason=reason, message=f"{reason} it is.")


def reported(phase: Phase, reason: str = "", message: str = "") -> DispatchFacts:
    return replace(ACCEPTED, phase=phase, said=said(phase, reason, message))


@pytest.mark.parametrize(
    ("dispatch", "obstacles", "reason", "words"),
    [
        (WAITING, {}, Reason.FAIRNESS, "waits its turn"),
        (
            replace(WAITING, attempt=2, available_at=NOW + SECOND),
            {POOL: in_the_way(Reason.NO_CLUSTER)},
            Reason.BACKOFF,
            "Attempt 2 may not begin before 2026-06-01 12:00:01 UTC",
        ),
        (WAITING, {POOL: in_the_way(Reason.NO_CLUSTER)}, Reason.NO_CLUSTER, "it is"),
        (WAITING, {POOL: in_the_way(Reason.NO_CREDIT)}, Reason.NO_CREDIT, "it is"),
        (WAITING, {QUEUE: in_the_way(Reason.QUEUE_LIMIT)}, Reason.QUEUE_LIMIT, "it is"),
        (WAITING, {RUN: in_the_way(Reason.RUN_LIMIT)}, Reason.RUN_LIMIT, "it is"),
        (
            WAITING,
            {POOL: in_the_way(Reason.NO_CREDIT), RUN: in_the_way(Reason.RUN_LIMIT)},
            Reason.RUN_LIMIT,
            "it is",
        ),
        (
            WAITING,
            {POOL: in_the_way(Reason.NO_CLUSTER), QUEUE: in_the_way(Reason.QUEUE_LIMIT)},
            Reason.NO_CLUSTER,
            "it is",
        ),
        # A limit of runs holds back roots, one of a run's actions everything but its root.
        (WAITING, {QUEUE_RUNS: in_the_way(Reason.QUEUE_LIMIT)}, Reason.FAIRNESS, "turn"),
        (
            replace(WAITING, is_root=True),
            {QUEUE_RUNS: in_the_way(Reason.QUEUE_LIMIT), RUN: in_the_way(Reason.RUN_LIMIT)},
            Reason.QUEUE_LIMIT,
            "it is",
        ),
        (replace(WAITING, is_root=True), {RUN: in_the_way(Reason.RUN_LIMIT)}, Reason.FAIRNESS, ""),
        (LEASED, {POOL: in_the_way(Reason.NO_CREDIT)}, Reason.LEASED_NOT_ACCEPTED, "cluster c1"),
        (ACCEPTED, {}, Reason.ACCEPTED_NOT_STARTED, "no start yet"),
        (reported(Phase.QUEUED), {}, Reason.ACCEPTED_NOT_STARTED, ""),
        (
            reported(Phase.WAITING_FOR_RESOURCES, "Unschedulable", "0/3 nodes"),
            {},
            Reason.UNSCHEDULABLE,
            "waiting for resources, 0/3 nodes.",
        ),
        (reported(Phase.WAITING_FOR_RESOURCES), {}, Reason.WAITING_FOR_RESOURCES, ""),
        (reported(Phase.INITIALIZING, "ImagePullBackOff"), {}, Reason.IMAGE, "ImagePullBackOff"),
        (reported(Phase.INITIALIZING, "Pulling"), {}, Reason.IMAGE, ""),
        (reported(Phase.INITIALIZING, "StartingProcess"), {}, Reason.INITIALIZING, ""),
        (reported(Phase.RUNNING), {}, Reason.RUNNING, "It is running."),
        (
            reported(Phase.RUNNING),
            {CLUSTER: in_the_way(Reason.CLUSTER_SILENT)},
            Reason.CLUSTER_SILENT,
            "it is",
        ),
        (
            replace(reported(Phase.RUNNING), stop_reason="cluster c1 is drained", stop_at=NOW),
            {CLUSTER: in_the_way(Reason.CLUSTER_SILENT)},
            Reason.STOPPING,
            "is to stop it: cluster c1 is drained.",
        ),
    ],
)
def test_every_state_has_its_reason(
    dispatch: DispatchFacts, obstacles: dict[Place, Obstacle], reason: Reason, words: str
) -> None:
    found = explain_dispatch(dispatch, obstacles, NOW)
    assert found.reason is reason
    assert words in found.sentence
    assert found.sentence.endswith(".")


def test_a_turn_says_who_goes_first() -> None:
    ahead = Ahead(more_urgent=3, of_its_run=0, beside_it=1_001)
    sentence = explain_dispatch(WAITING, {}, NOW, ahead=ahead).sentence
    assert "3 more urgent" in sentence
    assert "0 of its own run" in sentence
    assert "more than 1,000 of other runs" in sentence
    nobody = Ahead(more_urgent=0, of_its_run=0, beside_it=0)
    assert "It is next" in explain_dispatch(WAITING, {}, NOW, ahead=nobody).sentence


def test_who_runs_in_a_full_queue_is_told_what_that_means() -> None:
    running = reported(Phase.RUNNING)
    assert explain_dispatch(running, {}, NOW, is_full=True).reason is Reason.QUEUE_FULL
    assert explain_dispatch(WAITING, {}, NOW, is_full=True).reason is Reason.FAIRNESS


def facts(**changes: object) -> ActionFacts:
    made = ActionFacts(
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


def test_a_life_with_everything_in_it_is_told_second_by_second() -> None:
    def at(seconds: float) -> datetime:
        return NOW + seconds * SECOND

    def past(place: Place, reason: Reason, begin: float, end: float | None) -> PastObstacle:
        return PastObstacle(
            place=place,
            reason=reason,
            message=f"{reason}.",
            began_at=at(begin),
            ended_at=None if end is None else at(end),
        )

    first = AttemptFacts(
        number=1,
        cluster="c1",
        available_at=at(0),
        leased_at=at(12),
        accepted_at=at(13),
        ended_at=at(20),
        returned=[ReturnedLease(cluster="c0", leased_at=at(5), returned_at=at(8))],
        said=[
            said(Phase.INITIALIZING, "ErrImagePull", at=at(14)),
            said(Phase.INITIALIZING, "Created", at=at(15)),
            said(Phase.RUNNING, at=at(16)),
            said(Phase.FAILED, at=at(20)),
        ],
    )
    second = AttemptFacts(
        number=2,
        cluster="c1",
        available_at=at(25),
        leased_at=at(30),
        accepted_at=at(31),
        ended_at=at(40),
        said=[said(Phase.RUNNING, at=at(32))],
    )
    life = facts(
        phase=Phase.SUCCEEDED,
        ended_at=at(40),
        attempts=[first, second],
        past=[
            past(POOL, Reason.NO_CLUSTER, -10, 2),
            past(QUEUE, Reason.QUEUE_LIMIT, 1, 4),
            past(POOL, Reason.NO_CREDIT, 3, 5),
            past(Place(Scope.POOL, "other"), Reason.NO_CLUSTER, 0, None),
            past(RUN, Reason.RUN_LIMIT, 26, 30),
            past(CLUSTER, Reason.CLUSTER_SILENT, 35, 38),
            past(Place(Scope.CLUSTER, "c0"), Reason.CLUSTER_SILENT, 6, 60),
        ],
    )
    told = timeline(life, at(99))
    assert reasons(told) == [
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


def test_what_went_back_and_waits_again_is_not_said_to_be_leased() -> None:
    went_back = AttemptFacts(
        number=1, cluster="c1", available_at=NOW, leased_at=NOW + SECOND, accepted_at=None,
        ended_at=None,
    )  # fmt: skip
    told = timeline(facts(attempts=[went_back], dispatch=WAITING), NOW + 9 * SECOND)
    assert reasons(told) == [(Reason.FAIRNESS, 9)]
    lease = ReturnedLease(cluster="c1", leased_at=NOW + SECOND, returned_at=NOW + 3 * SECOND)
    told = timeline(
        facts(attempts=[replace(went_back, returned=[lease])], dispatch=WAITING), NOW + 9 * SECOND
    )
    assert reasons(told) == [
        (Reason.FAIRNESS, 1),
        (Reason.LEASED_NOT_ACCEPTED, 2),
        (Reason.FAIRNESS, 6),
    ]


def test_attempt_that_is_leased_and_not_accepted_is_said_to_be_leased() -> None:
    leased = AttemptFacts(
        number=1, cluster="c1", available_at=NOW, leased_at=NOW + SECOND, accepted_at=None,
        ended_at=None,
    )  # fmt: skip
    told = timeline(facts(attempts=[leased], dispatch=LEASED), NOW + 9 * SECOND)
    assert reasons(told) == [(Reason.FAIRNESS, 1), (Reason.LEASED_NOT_ACCEPTED, 8)]


def test_what_waits_for_its_next_attempt_is_told_so() -> None:
    failed = AttemptFacts(
        number=1, cluster="c1", available_at=NOW, leased_at=NOW, accepted_at=NOW,
        ended_at=NOW + SECOND, said=[said(Phase.RUNNING)],
    )  # fmt: skip
    waits = replace(WAITING, attempt=2, available_at=NOW + 5 * SECOND)
    told = explain(facts(attempts=[failed], dispatch=waits), {}, NOW + 4 * SECOND)
    assert reasons(told) == [(Reason.RUNNING, 1), (Reason.BACKOFF, 3)]
    assert (told.now.reason, told.attempt) == (Reason.BACKOFF, 2)


def test_an_end_says_how_and_whether_something_still_runs() -> None:
    failed = facts(phase=Phase.FAILED, ended_at=NOW, failure=make_failure())
    assert explain(failed, {}, NOW).now.sentence == "It ended FAILED, Broken: it broke."
    aborted = facts(
        phase=Phase.ABORTED, ended_at=NOW, abort_reason="enough", aborted_by="me", dispatch=LEASED
    )
    assert explain(aborted, {}, NOW).now.sentence == (
        "It ended ABORTED: enough (me); cluster c1 has not yet said that nothing of it runs."
    )


def test_conditions_and_traces_are_explained_too() -> None:
    condition = facts(type=ActionType.CONDITION, phase=Phase.PAUSED)
    told = explain(condition, {}, NOW + 5 * SECOND)
    assert told.now.reason is Reason.SIGNAL
    assert reasons(told) == [(Reason.SIGNAL, 5)]
    trace = facts(type=ActionType.TRACE, phase=Phase.SUCCEEDED, ended_at=NOW + SECOND)
    assert reasons(explain(trace, {}, NOW + 5 * SECOND)) == [(Reason.RUNNING, 1)]


instants = st.integers(-20, 60).map(lambda seconds: NOW + seconds * SECOND)
places = st.sampled_from([POOL, QUEUE, QUEUE_RUNS, RUN, CLUSTER, Place(Scope.CLUSTER, "c2")])
obstacles_of_waiting = st.sampled_from(
    [Reason.NO_CLUSTER, Reason.NO_CREDIT, Reason.QUEUE_LIMIT, Reason.CLUSTER_SILENT]
)
some_past = st.lists(
    st.builds(
        PastObstacle,
        place=places,
        reason=obstacles_of_waiting,
        message=st.just("So it is."),
        began_at=instants,
        ended_at=st.none() | instants,
    ),
    max_size=8,
)
some_said = st.lists(
    st.builds(
        Said,
        at=instants,
        phase=st.sampled_from(list(Phase)),
        reason=st.just(""),
        message=st.just(""),
    ),
    max_size=5,
)
some_attempts = st.lists(
    st.builds(
        AttemptFacts,
        number=st.integers(1, 4),
        cluster=st.sampled_from(["c1", "c2"]),
        available_at=instants,
        leased_at=instants,
        accepted_at=st.none() | instants,
        ended_at=st.none() | instants,
        said=some_said,
        returned=st.lists(
            st.builds(
                ReturnedLease,
                cluster=st.sampled_from(["c1", "c2"]),
                leased_at=instants,
                returned_at=instants,
            ),
            max_size=2,
        ),
    ),
    max_size=4,
    unique_by=lambda attempt: attempt.number,
)
some_facts = st.builds(
    facts,
    type=st.sampled_from(list(ActionType)),
    phase=st.sampled_from(list(Phase)),
    ended_at=st.none() | instants,
    is_root=st.booleans(),
    attempts=some_attempts,
    dispatch=st.sampled_from([None, WAITING, replace(WAITING, attempt=3), LEASED, ACCEPTED]),
    past=some_past,
)


@given(some_facts, instants)
def test_a_timeline_has_neither_gaps_nor_overlaps_whatever_it_is_made_of(
    known: ActionFacts, now: datetime
) -> None:
    told = explain(known, {}, now)
    intervals = told.timeline
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
    assert all(each.sentence for each in intervals)
    assert (told.now.reason is Reason.ENDED) is (known.phase in TERMINAL)
