"""Tests of views of a run's tree: their limits, and the difference between two readings."""

from dataclasses import replace
from uuid import UUID

import pytest

from controlplane.core.actions import ActionType
from controlplane.core.caching import CacheStatus
from controlplane.core.errors import InvalidError
from controlplane.core.run_trees import (
    MAX_NODES,
    Fold,
    Tree,
    TreeNode,
    TreeRow,
    TreeView,
    TreeWindow,
    difference,
    first_line,
)
from shared.model.ids import ROOT, ActionId, ActionName
from shared.model.phases import Phase
from tests.factories import NOW


def make_row(name: str, *, phase: Phase = Phase.QUEUED) -> TreeRow:
    return TreeRow(
        id=ActionId(UUID(int=int.from_bytes(name.encode()))),
        name=ActionName(name),
        parent=None if name == ROOT else ROOT,
        fold=Fold("", "env.child"),
        title="child",
        type=ActionType.TASK,
        phase=phase,
        enqueued_at=NOW,
        started_at=None,
        ended_at=None,
        attempts=1,
        cache_status=CacheStatus.DISABLED,
        failure=None,
        children={},
    )


def make_tree(*rows: TreeRow) -> Tree:
    window = TreeWindow(
        node=0,
        total=len(rows),
        folds=[],
        folds_left_out=0,
        names=[row.name for row in rows],
        rows=rows,
    )
    phases = {row.phase: 1 for row in rows}
    return Tree(change=1, as_of=NOW, phases=phases, root=make_row("a0"), windows=[window])


def test_difference_of_equal_trees_is_none() -> None:
    before = make_tree(make_row("a"))
    assert difference(before, replace(before, change=2)) is None


def test_difference_has_only_rows_that_changed_with_all_names_of_their_window() -> None:
    before = make_tree(make_row("a"), make_row("b"))
    after = make_tree(make_row("b", phase=Phase.FAILED), make_row("a"))
    found = difference(before, after)
    assert found is not None
    [window] = found.windows
    assert window.names == ["b", "a"]
    assert [row.name for row in window.rows] == ["b"]
    assert found.phases == after.phases
    assert found.root is None


def test_difference_has_the_root_if_it_alone_changed() -> None:
    before = make_tree(make_row("a"))
    after = replace(before, root=make_row("a0", phase=Phase.RUNNING))
    found = difference(before, after)
    assert found is not None
    assert (found.root, found.windows, found.phases) == (after.root, [], {})


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([TreeNode(parent=ROOT, limit=1)] * (MAX_NODES + 1), "51 nodes"),
        ([TreeNode(parent=ROOT, limit=201)], "from 0 to 200"),
        ([TreeNode(parent=ROOT, limit=-1)], "from 0 to 200"),
        ([TreeNode(parent=ROOT, offset=-1)], "offset"),
        ([TreeNode(parent=None, fold=Fold("", "t"))], "name the parent"),
        ([TreeNode(parent=ROOT)] * 6, "1000 rows together"),
    ],
)
def test_view_out_of_its_limits_is_refused(nodes: list[TreeNode], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        TreeView(nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", ""),
        ("\n\n", ""),
        ("it broke\nbadly", "it broke"),
        ("Traceback (most recent call last):\n  File x\nValueError: boom\n", "ValueError: boom"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_first_line_of_an_error_is_what_it_says(message: str, line: str) -> None:
    assert first_line(message) == line


def test_view_within_its_limits_is_taken() -> None:
    nodes = (
        TreeNode(parent=None),
        TreeNode(parent=ROOT, fold=Fold("", "t"), offset=400, limit=200),
    )
    assert TreeView(nodes=nodes).nodes == nodes
