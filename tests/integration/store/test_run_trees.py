"""Tests of the windows of a run's tree, read and watched as the use case does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from controlplane.core.actions import ActionType, ConditionInfo, NewAction
from controlplane.core.errors import NotFoundError
from controlplane.core.run_trees import Fold, Tree, TreeNode, TreeSort, TreeView
from controlplane.feeds.feeds import Feeds
from controlplane.store.notify.notifications import listen
from controlplane.usecases.run_trees import RunTrees
from shared.model.ids import ROOT, ActionName, RunId
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.factories import (
    NOW,
    ORG,
    make_failure,
    make_new_action,
    make_new_run,
    make_report,
    make_run_key,
)
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.examined import counting_statements
from tests.integration.store.operations import OPERATOR
from tests.running import running

LATER = NOW + timedelta(minutes=10)
CHILDREN = TreeView(nodes=(TreeNode(parent=ROOT),))


@pytest.fixture
def trees(store: Store) -> RunTrees:
    return RunTrees(store.database, FakeClock(LATER), None)


@pytest.fixture
async def feeds(store: Store) -> AsyncIterator[Feeds]:
    feeds = Feeds(store.database, lambda: listen(store.url))
    async with running(feeds):
        yield feeds


async def read(trees: RunTrees, view: TreeView = CHILDREN, run: str = "r1") -> Tree:
    return await trees.get(OPERATOR, make_run_key(run), view)


def child(name: str, *, group: str = "", task: str = "env.child", parent: str = "a0") -> NewAction:
    new = make_new_action(name, parent=parent)
    return replace(new, group=group, info=replace(new.info, name=task, short_name=task))


async def set_columns(store: Store, name: str, **columns: object) -> None:
    """Set columns of an action, as reports would have with other clocks."""
    assigned = ", ".join(f"{column} = :{column}" for column in columns)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(
            text(f"UPDATE actions SET {assigned} WHERE org = :org AND name = :name"),  # noqa: S608
            {**columns, "name": name},
        )


async def make_run_with_children(store: Store) -> RunId:
    """Make a run whose children are: fast and slow succeeded, bad failed, waiting waits."""
    run = await store.create(make_new_run())
    await store.enqueue(*(child(name) for name in ("bad", "fast", "slow", "waiting")))
    for name, phase, minutes in (
        ("bad", Phase.FAILED, 1),
        ("fast", Phase.SUCCEEDED, 2),
        ("slow", Phase.SUCCEEDED, 5),
    ):
        started, ended = NOW + timedelta(seconds=30), NOW + timedelta(minutes=minutes)
        await set_columns(store, name, phase=phase.value, started_at=started, ended_at=ended)
    return run


def names(tree: Tree, node: int = 0) -> Sequence[str]:
    return [row.name for row in tree.windows[node].rows]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (TreeSort.ATTENTION, ["bad", "waiting", "slow", "fast"]),
        (TreeSort.DURATION, ["waiting", "slow", "fast", "bad"]),
        (TreeSort.NAME, ["bad", "fast", "slow", "waiting"]),
        (TreeSort.START, ["bad", "fast", "slow", "waiting"]),
        (TreeSort.WAIT, ["waiting", "bad", "fast", "slow"]),
    ],
)
async def test_window_of_a_tree_is_sorted_and_paged(
    store: Store, trees: RunTrees, sort: TreeSort, expected: list[str]
) -> None:
    await make_run_with_children(store)
    whole = await read(trees, replace(CHILDREN, sort=sort))
    assert names(whole) == expected
    assert whole.windows[0].total == 4
    part = TreeView(nodes=(TreeNode(parent=ROOT, offset=1, limit=2),), sort=sort)
    assert names(await read(trees, part)) == expected[1:3]
    backwards = await read(trees, replace(CHILDREN, sort=sort, reversed=True))
    assert sorted(names(backwards)) == sorted(expected)
    assert backwards.windows[0].rows[-1].name == expected[0] or sort is TreeSort.WAIT


async def test_tree_counts_actions_by_fold_and_phase(store: Store, trees: RunTrees) -> None:
    await make_run_with_children(store)
    await store.enqueue(child("m1", group="map", task="env.other"))
    tree = await read(trees, TreeView(nodes=(TreeNode(parent=ROOT, limit=0),)))
    assert tree.phases == {Phase.QUEUED: 3, Phase.SUCCEEDED: 2, Phase.FAILED: 1}
    [window] = tree.windows
    assert window.rows == []
    large, small = window.folds
    assert large.fold == Fold("", "env.child")
    assert large.phases == {Phase.QUEUED: 1, Phase.SUCCEEDED: 2, Phase.FAILED: 1}
    assert (large.shortest, large.median, large.longest) == (
        timedelta(seconds=30),
        timedelta(seconds=90),
        timedelta(seconds=270),
    )
    assert (small.fold, small.phases) == (Fold("map", "env.other"), {Phase.QUEUED: 1})
    assert small.median is None
    assert tree.root is not None
    assert tree.root.children == {Phase.QUEUED: 2, Phase.SUCCEEDED: 2, Phase.FAILED: 1}


async def test_fold_of_a_tree_has_only_its_rows(store: Store, trees: RunTrees) -> None:
    await make_run_with_children(store)
    await store.enqueue(child("m1", group="map", task="env.other"))
    fold = TreeNode(parent=ROOT, fold=Fold("map", "env.other"))
    missing = TreeNode(parent=ActionName("missing"))
    tree = await read(trees, TreeView(nodes=(fold, missing)))
    assert names(tree) == ["m1"]
    assert (tree.windows[1].total, names(tree, 1)) == (0, [])


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (TreeView(phases=frozenset({Phase.FAILED})), ["bad"]),
        (TreeView(text="SLO"), ["slow"]),
        (TreeView(text="env.child", phases=frozenset({Phase.SUCCEEDED})), ["slow", "fast"]),
        (TreeView(text="%"), []),
        (TreeView(error_codes=frozenset({"Broken"})), []),
    ],
)
async def test_window_of_a_tree_is_filtered(
    store: Store, trees: RunTrees, view: TreeView, expected: list[str]
) -> None:
    await make_run_with_children(store)
    tree = await read(trees, replace(view, nodes=CHILDREN.nodes))
    assert names(tree) == expected
    assert tree.windows[0].total == len(expected)
    assert sum(tree.phases.values()) == 5


async def test_window_of_all_actions_has_their_ancestors(store: Store, trees: RunTrees) -> None:
    await make_run_with_children(store)
    await store.enqueue(child("deep", parent="waiting"))
    tree = await read(trees, TreeView(nodes=(TreeNode(parent=None),), text="deep"))
    assert names(tree) == ["deep"]
    assert {row.name for row in tree.ancestors} == {"a0", "waiting"}


async def test_row_of_a_tree_tells_waiting_from_running(store: Store, trees: RunTrees) -> None:
    await store.create(make_new_run())
    await store.enqueue(
        replace(child("c1"), spec=make_new_action("c1", retries=1).spec), child("c2")
    )
    leased = {each.key.name: each for each in await store.claim(3)}
    failed = make_failure(FailureKind.USER)
    await store.report(
        make_report(leased[ActionName("c1")], 1, Phase.RUNNING, at=NOW),
        make_report(leased[ActionName("c1")], 2, Phase.FAILED, failure=failed, at=NOW),
        make_report(leased[ActionName("c2")], 1, Phase.RUNNING, at=NOW),
        make_report(
            leased[ActionName("c2")],
            2,
            Phase.FAILED,
            failure=replace(failed, recoverable=False, message="Traceback (most\n x\nOops: no"),
            at=NOW,
        ),
    )
    rows = {row.name: row for row in (await read(trees)).windows[0].rows}
    again, bad = rows[ActionName("c1")], rows[ActionName("c2")]
    assert (again.phase, again.attempts, again.failure) == (Phase.QUEUED, 2, None)
    [attempt] = again.latest
    assert (attempt.cluster, attempt.leased_at, attempt.started_at) == (CLUSTER, NOW, NOW)
    assert attempt.error_code == "Broken"
    assert again.reason == "no_cluster"
    assert bad.failure is not None
    assert (bad.failure.code, bad.failure.message) == ("Broken", "Oops: no")


async def test_condition_in_a_tree_waits_for_its_signal(store: Store, trees: RunTrees) -> None:
    await store.create(make_new_run())
    condition = make_new_action("cond", kind=ActionType.CONDITION)
    info = ConditionInfo(literal_type=b"", timeout=None)
    await store.enqueue(replace(condition, condition=info))
    [row] = (await read(trees)).windows[0].rows
    assert (row.type, row.reason) == (ActionType.CONDITION, "signal")


async def test_tree_of_a_run_that_does_not_exist_is_not_found(trees: RunTrees) -> None:
    with pytest.raises(NotFoundError, match="run"):
        await read(trees, run="missing")


async def test_watched_tree_sends_only_what_changed(store: Store, feeds: Feeds) -> None:
    await make_run_with_children(store)
    trees = RunTrees(store.database, FakeClock(LATER), feeds)
    async with asyncio.timeout(60), aclosing(watch(trees)) as watched:
        first = await anext(watched)
        assert len(first.windows[0].rows) == 4
        await store.enqueue(child("another"))
        second = await anext(watched)
        assert [row.name for row in second.windows[0].rows] == ["another"]
        assert len(second.windows[0].names) == 5
        assert second.phases[Phase.QUEUED] == 3
        assert second.change > first.change


async def test_watchers_of_the_same_view_share_its_readings(store: Store, feeds: Feeds) -> None:
    await make_run_with_children(store)
    trees = RunTrees(store.database, FakeClock(LATER), feeds)
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(aclosing(watch(trees))) for _ in range(6)]
        first = await asyncio.gather(*(anext(each) for each in watches))
        assert all(each.windows == first[0].windows for each in first)
        with counting_statements(store.database) as executed:
            await store.enqueue(child("another"))
            await asyncio.gather(*(anext(each) for each in watches))
        readings = [each for each in executed if "percentile_disc" in each]
        assert len(readings) < len(watches)
    assert trees._shared == {}


def watch(trees: RunTrees) -> AsyncGenerator[Tree, None]:
    watched = trees.watch(OPERATOR, make_run_key(), CHILDREN)
    assert isinstance(watched, AsyncGenerator)
    return watched
