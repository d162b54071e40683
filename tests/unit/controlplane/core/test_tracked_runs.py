"""Reports of a tracked run: repeated, reordered, lost ones, and those that come too late."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from controlplane.core.actions import ActionType, Spec, SpecKind, TaskInfo
from controlplane.core.tracked_runs import (
    Description,
    TrackedAction,
    TrackedAttempt,
    Tree,
    Update,
    names_in,
)
from shared.model.ids import ROOT, ActionId, ActionName, Digest
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
CREATED = NOW - timedelta(hours=1)
SPEC = Spec(digest=Digest(b"s" * 32), kind=SpecKind.TASK, body=b"spec")
FAILURE = Failure(code="E", kind=FailureKind.USER, message="no luck")


def make_tree(
    *others: TrackedAction,
    attempts: Mapping[tuple[str, int], TrackedAttempt] | None = None,
    ancestors: Mapping[str, set[str]] | None = None,
    root: Phase = Phase.RUNNING,
) -> Tree:
    ids = iter(range(100, 1000))
    known = TrackedAction(id=ActionId(UUID(int=1)), name=ROOT, parent=None, phase=root)
    return Tree(
        actions={each.name: each for each in (known, *others)},
        attempts={(ActionName(name), at): each for (name, at), each in (attempts or {}).items()},
        ancestors={
            ActionName(name): frozenset(ActionName(each) for each in above)
            for name, above in (ancestors or {}).items()
        },
        new_id=lambda: ActionId(UUID(int=next(ids))),
        created_at=CREATED,
        now=NOW,
    )


def make_action(name: str, parent: str = "a0", **fields: Any) -> TrackedAction:
    of: dict[str, Any] = {
        "id": ActionId(UUID(int=2)),
        "name": ActionName(name),
        "parent": ActionName(parent),
    }
    return TrackedAction(**(of | fields))


def described(parent: str = "a0", kind: ActionType = ActionType.TASK) -> Description:
    return Description(parent=ActionName(parent), type=kind, spec=SPEC, info=TaskInfo(name="t"))


def make_update(name: str = "c", phase: Phase = Phase.RUNNING, **fields: Any) -> Update:
    of: dict[str, Any] = {"attempt": 1, "version": 1, "at": NOW}
    return Update(name=ActionName(name), phase=phase, **(of | fields))


def phases_of(tree: Tree) -> dict[str, Phase]:
    return {name: action.phase for name, action in tree.actions.items() if name != ROOT}


def test_first_report_creates_the_action() -> None:
    tree = make_tree()

    assert tree.apply(make_update(described=described())) == ""

    assert phases_of(tree) == {"c": Phase.RUNNING}
    assert list(tree.new) == ["c"]
    assert tree.actions[ActionName("c")].started_at == NOW
    assert [(each.phase, each.version) for each in tree.history] == [(Phase.RUNNING, 1)]


def test_repeated_report_changes_nothing() -> None:
    tree = make_tree()
    tree.apply(make_update(described=described()))
    before = dict(tree.actions)

    assert tree.apply(make_update(phase=Phase.SUCCEEDED, described=described())) == ""

    assert tree.actions == before
    assert len(tree.history) == 1


def test_phases_of_an_attempt_only_advance() -> None:
    tree = make_tree()
    for version, phase in enumerate((Phase.RUNNING, Phase.SUCCEEDED, Phase.RUNNING), start=1):
        tree.apply(make_update(phase=phase, version=version, described=described()))

    assert phases_of(tree) == {"c": Phase.SUCCEEDED}
    assert [each.phase for each in tree.history] == [Phase.RUNNING, Phase.SUCCEEDED]


def test_phase_that_may_not_follow_is_kept_out() -> None:
    tree = make_tree()
    tree.apply(make_update(described=described()))

    tree.apply(make_update(phase=Phase.QUEUED, version=2))

    assert phases_of(tree) == {"c": Phase.RUNNING}
    assert len(tree.history) == 1


def test_child_reported_before_its_parent_is_below_it_in_the_end() -> None:
    tree = make_tree()

    tree.apply(make_update("c", described=described("p")))
    assert tree.actions[ActionName("p")].is_placeholder
    tree.apply(make_update("p", described=described("a0", ActionType.TRACE)))

    assert tree.actions[ActionName("c")].parent == "p"
    parent = tree.actions[ActionName("p")]
    assert (parent.parent, parent.type, parent.is_placeholder) == ("a0", ActionType.TRACE, False)
    assert list(tree.new) == ["p", "c"]


def test_placeholder_with_an_unknown_parent_of_its_own_gets_one() -> None:
    tree = make_tree(make_action("p", is_placeholder=True))

    tree.apply(make_update("p", described=described("q")))

    assert tree.actions[ActionName("p")].parent == "q"
    assert tree.actions[ActionName("q")].is_placeholder


@pytest.mark.parametrize("claimed", ["c", "p"])
def test_placeholder_is_never_below_itself(claimed: str) -> None:
    tree = make_tree(make_action("p", is_placeholder=True), make_action("c", "p"))

    tree.apply(make_update("p", described=described(claimed)))

    assert tree.actions[ActionName("p")].parent == "a0"


def test_placeholder_is_never_below_itself_through_actions_that_the_batch_does_not_name() -> None:
    tree = make_tree(
        make_action("p", is_placeholder=True), make_action("c", "b"), ancestors={"c": {"b", "p"}}
    )

    tree.apply(make_update("p", described=described("c")))

    assert tree.actions[ActionName("p")].parent == "a0"


def test_placeholder_goes_below_an_action_whose_ancestors_are_not_its_own() -> None:
    tree = make_tree(make_action("p", is_placeholder=True), make_action("c", "b"))

    tree.apply(make_update("p", described=described("c")))

    assert tree.actions[ActionName("p")].parent == "c"


def test_action_that_is_its_own_parent_is_refused() -> None:
    assert "its own parent" in make_tree().apply(make_update("c", described=described("c")))


def test_action_whose_first_report_was_lost_is_below_the_root() -> None:
    tree = make_tree()

    assert tree.apply(make_update(phase=Phase.SUCCEEDED, version=2)) == ""

    action = tree.actions[ActionName("c")]
    assert (action.parent, action.phase, action.is_placeholder) == ("a0", Phase.SUCCEEDED, True)


def test_failed_attempt_is_followed_by_the_next() -> None:
    tree = make_tree()
    tree.apply(make_update(phase=Phase.FAILED, failure=FAILURE, described=described()))
    assert tree.actions[ActionName("c")].failure == FAILURE

    tree.apply(make_update(attempt=2))

    action = tree.actions[ActionName("c")]
    assert (action.phase, action.attempts, action.failure) == (Phase.RUNNING, 2, None)
    assert action.ended_at is None


def test_late_report_of_an_earlier_attempt_changes_that_attempt_only() -> None:
    tree = make_tree()
    tree.apply(make_update(described=described()))
    tree.apply(make_update(attempt=2))

    tree.apply(make_update(phase=Phase.FAILED, version=2, failure=FAILURE))

    assert phases_of(tree) == {"c": Phase.RUNNING}
    assert tree.attempts[ActionName("c"), 1].phase is Phase.FAILED


def test_failed_action_stays_failed_for_its_own_attempt() -> None:
    tree = make_tree()
    tree.apply(make_update(phase=Phase.FAILED, failure=FAILURE, described=described()))

    tree.apply(make_update(phase=Phase.SUCCEEDED, version=2))

    assert phases_of(tree) == {"c": Phase.FAILED}


def test_succeeded_action_does_not_run_again() -> None:
    tree = make_tree(make_action("c", phase=Phase.SUCCEEDED))

    assert tree.apply(make_update(attempt=2)) == ""

    assert phases_of(tree) == {"c": Phase.SUCCEEDED}


def test_aborted_action_refuses_reports() -> None:
    tree = make_tree(make_action("c", phase=Phase.ABORTED))

    assert "it was aborted" in tree.apply(make_update(phase=Phase.SUCCEEDED))


def test_aborted_run_refuses_reports_but_not_repeated_ones() -> None:
    attempt = TrackedAttempt(number=1, began_at=NOW, version=3, phase=Phase.ABORTED)
    tree = make_tree(
        make_action("c", phase=Phase.ABORTED), attempts={("c", 1): attempt}, root=Phase.ABORTED
    )

    assert tree.apply(make_update(version=3)) == ""
    assert "its run was aborted" in tree.apply(make_update(version=4))
    assert "its run was aborted" in tree.apply(make_update("new", described=described()))


@pytest.mark.parametrize(
    ("phase", "ended"),
    [(Phase.RUNNING, False), (Phase.FAILED, False), (Phase.SUCCEEDED, True), (Phase.ABORTED, True)],
)
def test_run_ends_for_good_unless_its_root_may_be_retried(*, phase: Phase, ended: bool) -> None:
    tree = make_tree(root=Phase.QUEUED)
    assert not tree.ended_root()

    tree.apply(make_update(ROOT, phase, failure=FAILURE))

    assert tree.ended_root() is ended


@pytest.mark.parametrize(
    ("reported", "kept"),
    [
        (NOW + timedelta(days=3), NOW),
        (NOW - timedelta(days=300), CREATED),
        (NOW - timedelta(minutes=5), NOW - timedelta(minutes=5)),
    ],
)
def test_clock_of_a_program_dates_no_report_outside_its_run(
    reported: datetime, kept: datetime
) -> None:
    tree = make_tree()

    tree.apply(make_update(at=reported, described=described()))

    assert tree.history[0].at == kept


def test_start_that_the_program_reports_is_kept() -> None:
    tree = make_tree()
    started_at = NOW - timedelta(minutes=9)

    tree.apply(make_update(started_at=started_at, described=described()))

    assert tree.actions[ActionName("c")].started_at == started_at


def test_outputs_and_report_are_those_of_the_latest_attempt() -> None:
    tree = make_tree()
    tree.apply(make_update(described=described(), has_report=True, has_outputs=True))
    action = tree.actions[ActionName("c")]
    assert (action.has_outputs, action.has_report) == (False, True)

    tree.apply(make_update(phase=Phase.SUCCEEDED, version=2, has_outputs=True))

    action = tree.actions[ActionName("c")]
    assert (action.has_outputs, action.has_report) == (True, True)


def test_names_of_reports_have_those_of_parents_and_of_the_root() -> None:
    assert names_in([make_update("c", described=described("p")), make_update("d")]) == [
        *("a0", "c", "d", "p")
    ]
