"""
Tests that the windows of a run's tree, and its analysis, examine this run's rows and no other run,
with and without statistics: 2,000 actions with two attempts each, and 20,000 others in the tables.
"""

from datetime import timedelta
from types import ModuleType

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.run_trees import TreeNode, TreeSort, TreeView
from controlplane.store.database import open_database
from controlplane.store.dispatch import (
    attempt_history,
    critical_path,
    explanations,
    run_activity,
)
from controlplane.store.resources import run_trees
from controlplane.usecases.run_analysis import RunAnalysis
from controlplane.usecases.run_trees import RunTrees
from shared.model.ids import ROOT, ActionName
from tests.factories import NOW, ORG, make_action_key, make_new_run, make_run_key
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import Store
from tests.integration.store.examined import (
    Examined,
    examining,
    explain_everything,
    statements_of,
)
from tests.integration.store.operations import OPERATOR
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

SHAPES = {
    "analysed": (2_000, 20_000),
    "never": (2_000, 20_000),
    "most actions have one parent": (5_000, 10),
}
"""Children in the run and in another one, by the state of statistics; the last has them, too."""
A_ROW = 6
"""Rows that a statement may examine for each action of the run: it is read, sorted and counted."""

OF_MANY_STEPS = {"attempt_history._FAILURES": 10, "run_activity._CHANGES": 65}
"""The same of statements that count an attempt several times: one has four periods with two ends."""

OF_TREES = {
    "critical_path._ACTIONS",
    "critical_path._ATTEMPTS",
    "critical_path._EVENTS",
    "run_trees._BY_NAME",
    "run_trees._CHILDREN",
    "run_trees._ATTEMPTS",
    "explanations._OF_ACTIONS",
}

_ATTEMPTS = text("""
INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, available_at, leased_at,
                      started_at, ended_at, error_code, error_kind, error_message)
SELECT a.org, a.id, n, a.id, 'c1', 5, a.created_at + n * interval '10 s', a.created_at + n * interval '11 s',
       a.created_at + n * interval '12 s', a.created_at + n * interval '19 s',
       CASE n WHEN 1 THEN 'Broken' END, CASE n WHEN 1 THEN 1 END, CASE n WHEN 1 THEN 'at ' || a.name END
FROM actions a, generate_series(1, 2) n
""")
_RETRIED = text("UPDATE actions SET attempts = 2, error_message = '' WHERE org = :org")


def all_statements() -> dict[str, str]:
    """Name the statements of trees: those of modules, and those that are made for each order."""
    made = ModuleType("made")
    for number, clause in enumerate([*run_trees._ROWS.values(), *run_trees._FOLDS.values()]):
        setattr(made, f"statement{number}", clause)
    modules = (run_trees, explanations, attempt_history, critical_path, run_activity)
    return {**statements_of(*modules), **statements_of(made)}


async def analyse(analysis: RunAnalysis, children: int) -> None:
    run = make_run_key()
    await analysis.list_attempts(OPERATOR, make_action_key("a0-w000001"), after=0, limit=50)
    groups, _ = await analysis.list_failures(OPERATOR, run, token="", limit=50)
    assert [group.attempts for group in groups] == [children, 1]  # the root has another name
    path = await analysis.critical_path(OPERATOR, run)
    assert path.pieces
    found = await analysis.activity(OPERATOR, run, since=None, until=None, buckets=0)
    assert len(found.buckets) == 100


@pytest.mark.parametrize("state", SHAPES)
async def test_windows_of_a_tree_examine_no_other_run(
    state: str, store: Store, postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> None:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for name in ("actions", "attempts", "runs", "dispatches"):
        await owner.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = false)")
    children, others_children = SHAPES[state]
    others = await store.create(make_new_run("others"))
    await add_children(store.database, others, others_children, ended=others_children)
    run = await store.create(make_new_run())
    await add_children(store.database, run, children, ended=children // 2)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(_ATTEMPTS)
        await tx.execute(_RETRIED)
    if state != "never":
        await owner.execute("ANALYZE")
    await owner.close()

    leaf = TreeNode(parent=ActionName("a0-w000001"), limit=100)
    nodes = (TreeNode(parent=ROOT), leaf, TreeNode(parent=None))
    database = open_database(test_database.url, pool_size=1)
    trees = RunTrees(database, FakeClock(NOW), None)
    with examining(database, Examined(_names=all_statements())) as seen:
        for sort in TreeSort:
            tree = await trees.get(OPERATOR, make_run_key(), TreeView(nodes=nodes, sort=sort))
            assert [window.total for window in tree.windows] == [children, 0, children + 1]
            assert len(tree.windows[0].rows) == 200
        assert (
            len([name for name in seen.rows if name.startswith("made.")]) == 2 * len(TreeSort) + 2
        )
        await analyse(RunAnalysis(database, FakeClock(NOW + timedelta(minutes=1))), children)
        assert {"run_trees._PHASES", *OF_TREES} <= set(seen.rows)
        assert {"critical_path._CHILDREN", "run_activity._CHANGES"} <= set(seen.rows)
        assert {"attempt_history._ATTEMPTS", "attempt_history._FAILURES"} <= set(seen.rows)
        too_many = [
            f"{name}: {rows}\n{seen.plans[name]}"
            for name, rows in seen.rows.items()
            if rows > children * OF_MANY_STEPS.get(name, A_ROW)
        ]
        assert not too_many, "\n\n".join(too_many)
    await database.close()
