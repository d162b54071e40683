"""Tests of the critical path: which actions a run took as long as, and how it is summed up."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from controlplane.core import critical_path
from controlplane.core.critical_path import (
    MAX_STEPS,
    PathWalk,
    Span,
    Step,
    explain_steps,
    render_duration,
    summarize,
)
from controlplane.core.explanations import Interval
from controlplane.core.reason_codes import Reason
from shared.model.ids import ActionId, ActionName
from tests.factories import NOW

Tree = Mapping[str, Sequence[Span]]


def span(name: str, began: float, ended: float) -> Span:
    return Span(
        id=ActionId(UUID(int=int.from_bytes(name.encode()))),
        name=ActionName(name),
        title=name.rstrip("0123456789"),
        began_at=NOW + timedelta(seconds=began),
        ended_at=NOW + timedelta(seconds=ended),
    )


def walk(root: Span, children: Tree) -> PathWalk:
    """Walk a tree, reading as the store does."""
    by_id = {root.id: root} | {each.id: each for of in children.values() for each in of}
    path = PathWalk(root)
    while (wanted := path.wants()) is not None:
        parent, before = wanted
        found = [
            each
            for each in children.get(by_id[parent].name, ())
            if each.began_at < before and each.ended_at <= before
        ]
        found.sort(key=lambda each: each.ended_at, reverse=True)
        path.give(found[: critical_path.BATCH])
    return path


def outline(path: PathWalk) -> list[tuple[str, float, float]]:
    return [
        (
            step.action.name,
            (step.began_at - NOW).total_seconds(),
            (step.ended_at - NOW).total_seconds(),
        )
        for step in path.steps
    ]


def test_path_of_a_run_without_children_is_its_root() -> None:
    assert outline(walk(span("a0", 0, 10), {})) == [("a0", 0, 10)]


def test_path_goes_through_the_child_that_ended_last() -> None:
    children = {"a0": [span("fast", 1, 3), span("slow", 1, 9)]}
    path = walk(span("a0", 0, 10), children)
    assert outline(path) == [("a0", 0, 1), ("slow", 1, 9), ("a0", 9, 10)]
    assert not path.is_truncated


def test_path_goes_through_children_one_after_the_other_and_theirs() -> None:
    children = {
        "a0": [span("first", 0, 4), span("beside", 1, 3), span("second", 5, 10)],
        "second": [span("deep", 6, 8)],
    }
    assert outline(walk(span("a0", 0, 10), children)) == [
        ("first", 0, 4),
        ("a0", 4, 5),
        ("second", 5, 6),
        ("deep", 6, 8),
        ("second", 8, 10),
    ]


def test_path_ignores_children_that_outlived_what_followed() -> None:
    children = {"a0": [span("early", 0, 6), span("late", 5, 10), span("instant", 4, 4)]}
    assert outline(walk(span("a0", 0, 10), children)) == [("a0", 0, 5), ("late", 5, 10)]


def test_path_reads_more_children_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(critical_path, "BATCH", 3)
    children = {"a0": [span(f"c{number}", number, number + 1) for number in range(10)]}
    assert outline(walk(span("a0", 0, 10), children)) == [
        (f"c{number}", number, number + 1) for number in range(10)
    ]


def test_path_longer_than_the_limit_is_cut_at_its_beginning() -> None:
    many = MAX_STEPS + 10
    children = {"a0": [span(f"c{number}", number, number + 1) for number in range(many)]}
    path = walk(span("a0", 0, many), children)
    assert path.is_truncated
    assert len(path.steps) == MAX_STEPS
    assert path.steps[-1].ended_at == NOW + timedelta(seconds=many)


def interval(reason: Reason, began: float, ended: float) -> Interval:
    return Interval(
        reason=reason,
        message=reason.value,
        started_at=NOW + timedelta(seconds=began),
        ended_at=NOW + timedelta(seconds=ended),
    )


def step(of: Span, began: float, ended: float) -> Step:
    return Step(
        action=of,
        began_at=NOW + timedelta(seconds=began),
        ended_at=NOW + timedelta(seconds=ended),
    )


def test_steps_are_split_by_the_reasons_of_their_action() -> None:
    train = span("train", 0, 10)
    timelines = {
        train.id: [
            interval(Reason.QUEUE_LIMIT, 0, 1),  # over before the step
            interval(Reason.NO_CREDIT, 1, 4),
            interval(Reason.RUNNING, 4, 7),
            interval(Reason.RUNNING, 7, 12),
        ]
    }
    pieces = explain_steps([step(train, 1, 10), step(span("other", 0, 20), 10, 20)], timelines)
    assert [(each.action, each.reason, each.began_at, each.ended_at) for each in pieces] == [
        ("train", Reason.NO_CREDIT, NOW + timedelta(seconds=1), NOW + timedelta(seconds=4)),
        ("train", Reason.RUNNING, NOW + timedelta(seconds=4), NOW + timedelta(seconds=10)),
        ("other", Reason.RUNNING, NOW + timedelta(seconds=10), NOW + timedelta(seconds=20)),
    ]


def test_path_is_summed_up_in_a_sentence() -> None:
    reasons = (
        (Reason.RUNNING, 50),
        (Reason.NO_CREDIT, 25),
        (Reason.IMAGE, 10),
        (Reason.BACKOFF, 8),
        (Reason.FAIRNESS, 7),
    )
    train, at = span("train", 0, 100), 0
    pieces: list[critical_path.Piece] = []
    for reason, seconds in reasons:
        timeline = {train.id: [interval(reason, at, at + seconds)]}
        pieces += explain_steps([step(train, at, at + seconds)], timeline)
        at += seconds
    path = summarize(pieces, truncated=False, now=NOW)
    assert path.message == (
        "Of 1m 40s: 50% train ran, 25% waited for free slots, 10% waited for container images,"
        " 8% waited between attempts, 7% other reasons."
    )
    assert sum(share.fraction for share in path.shares) == pytest.approx(1)
    cut = summarize(pieces[:1], truncated=True, now=NOW)
    assert cut.message == "Of the last 50s: 100% train ran."


def test_path_without_time_says_so() -> None:
    assert summarize([], truncated=False, now=NOW).message == "The run took no time yet."


def test_every_reason_has_words_for_a_path() -> None:
    assert set(critical_path._WORDS) == set(Reason)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "0.25s"), (59, "59s"), (842, "14m 02s"), (7320, "2h 02m")],
)
def test_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert render_duration(timedelta(seconds=seconds)) == text
