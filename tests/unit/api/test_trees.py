"""
We test what a watched tree shows: counts over all descendants, whatever the order of news,
and who is visible under a filter.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from controlplane.api.trees import ActionTree, Shown, TreeAction, meets_all
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Test as By
from shared.model.ids import ActionName
from shared.model.phases import Phase


def row(name: str, parent: str | None = None, phase: Phase = Phase.RUNNING) -> TreeAction:
    above = None if parent is None else ActionName(parent)
    return TreeAction(ActionName(name), above, phase, f"task-{name}", "")


def only(phase: Phase) -> ActionTree[TreeAction]:
    return ActionTree(meets_all([Filter("phase", By.IN, [str(phase.value)])]))


def names(shown: Sequence[Shown[TreeAction]]) -> list[str]:
    return [each.action.name for each in shown]


def test_change_shows_the_action_and_its_ancestors() -> None:
    tree: ActionTree[TreeAction] = ActionTree(meets_all([]))
    tree.apply([row("a0"), row("b", "a0"), row("c", "b"), row("other", "a0")])

    shown = tree.apply([row("c", "b", Phase.SUCCEEDED)])

    assert names(shown) == ["c", "b", "a0"]
    assert shown[2].below == {Phase.RUNNING: 2, Phase.SUCCEEDED: 1}


def test_action_that_stops_matching_is_shown_once_more() -> None:
    tree = only(Phase.RUNNING)
    tree.apply([row("a0", phase=Phase.QUEUED), row("b", "a0")])

    gone = tree.apply([row("b", "a0", Phase.SUCCEEDED)])
    later = tree.apply([row("b", "a0", Phase.SUCCEEDED)])

    assert [(each.action.name, each.meets_filter) for each in gone] == [
        ("b", False),
        ("a0", False),
    ]
    assert not later


def test_action_that_never_matched_is_never_shown() -> None:
    assert not only(Phase.FAILED).apply([row("a0"), row("b", "a0")])


def test_ancestors_of_a_matching_action_are_shown() -> None:
    shown = only(Phase.FAILED).apply([row("a0"), row("b", "a0"), row("c", "b", Phase.FAILED)])

    assert {each.action.name: each.meets_filter for each in shown} == {
        "a0": False,
        "b": False,
        "c": True,
    }


def test_names_are_looked_for_in_any_case() -> None:
    tree: ActionTree[TreeAction] = ActionTree(
        meets_all([Filter("NAME", By.CONTAINS_CASE_INSENSITIVE, ["TASK-B"])])
    )
    assert [
        each.action.name for each in tree.apply([row("a0"), row("b", "a0")]) if each.meets_filter
    ] == ["b"]


def test_other_filters_are_refused() -> None:
    with pytest.raises(InvalidError, match="not watched"):
        meets_all([Filter("group", By.EQUAL, ["g"])])


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[TreeAction], list[list[TreeAction]]]:
    """A tree of actions in their last states, and news that lead there, in batches."""
    count = draw(st.integers(1, 12))
    parents = [None, *(draw(st.integers(0, at - 1)) for at in range(1, count))]
    last = [
        row(
            f"n{at}",
            None if parent is None else f"n{parent}",
            draw(st.sampled_from(Phase)),
        )
        for at, parent in enumerate(parents)
    ]
    # A program that reports its run may name another parent later.
    rows = [
        replace(each, phase=Phase.RUNNING, parent=None if at == 0 else ActionName("n0"))
        for at, each in enumerate(last)
    ]
    changes = draw(st.permutations([*draw(st.lists(st.sampled_from(rows))), *last]))
    # The last state comes last, however early the first news of an action came.
    ends = {each.name: each for each in last}
    seen = [*changes, *ends.values()]
    batches = []
    while seen:
        size = draw(st.integers(1, len(seen)))
        batches.append(seen[:size])
        seen = seen[size:]
    return last, batches


@given(histories())
def test_action_tree_counts_all_descendants_in_any_order_of_updates(
    history: tuple[list[TreeAction], list[list[TreeAction]]],
) -> None:
    last, batches = history
    tree: ActionTree[TreeAction] = ActionTree(meets_all([]))
    latest: dict[str, Shown[TreeAction]] = {}
    for batch in batches:
        latest.update({each.action.name: each for each in tree.apply(batch)})

    parents = {each.name: each.parent for each in last}
    expected: dict[str, Counter[Phase]] = {name: Counter() for name in parents}
    for each in last:
        above = each.parent
        while above is not None:
            expected[above][each.phase] += 1
            above = parents[above]
    assert {name: Counter(shown.below) for name, shown in latest.items()} == expected


def test_snapshot_taken_in_parts_shows_the_same_as_one_that_is_applied_at_once() -> None:
    rows = [
        row("c", "b", Phase.FAILED),
        row("a0"),
        row("b", "a0"),
        row("d", "b", Phase.SUCCEEDED),
        row("other", "a0"),
    ]
    failed = Filter("phase", By.IN, [str(Phase.FAILED.value)])
    for filters in ([], [failed]):
        whole: ActionTree[TreeAction] = ActionTree(meets_all(filters))
        parts: ActionTree[TreeAction] = ActionTree(meets_all(filters))
        at_once = {each.action.name: each for each in whole.apply(rows)}
        for each in rows:
            parts.take([each])
        assert {each.action.name: each for each in parts.all_shown()} == at_once
        change = [row("d", "b", Phase.FAILED)]
        assert list(parts.apply(change)) == list(whole.apply(change))


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(list(Phase))), max_size=30))
def test_siblings_that_are_taken_together_show_the_same_as_one_by_one(
    drawn: list[tuple[int, Phase]],
) -> None:
    """Of a tree of depth three: children may come before their parent, and twice."""
    parents = [None, "n0", "n0", "n0", "n1", "n1", "n2", "n4", "n4"]
    together: ActionTree[TreeAction] = ActionTree(None)
    one_by_one: ActionTree[TreeAction] = ActionTree(None)
    for number, phase in drawn:
        siblings = {
            f"n{each}": row(f"n{each}", parents[each], phase)
            for each in range(number, len(parents))
            if parents[each] == parents[number]
        }
        together.take_siblings(
            None if parents[number] is None else ActionName(f"{parents[number]}"),
            list(siblings.values()),
        )
        one_by_one.take(siblings.values())

    def shown(tree: ActionTree[TreeAction]) -> dict[str, object]:
        return {each.action.name: (each.action.phase, each.below) for each in tree.all_shown()}

    assert shown(together) == shown(one_by_one)
