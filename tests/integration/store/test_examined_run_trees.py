"""
Tests that the windows of a run's tree examine the children of open nodes and no other run, with
and without statistics: 2,000 actions in a run, with 20,000 others in the table.
"""

from types import ModuleType

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.run_trees import TreeNode, TreeSort, TreeView
from controlplane.store.database import open_database
from controlplane.store.dispatch import explanations
from controlplane.store.resources import run_trees
from controlplane.usecases.run_trees import RunTrees
from shared.model.ids import ROOT, ActionName
from tests.factories import NOW, ORG, make_new_run, make_run_key
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

CHILDREN, OTHERS = 2_000, 20_000
A_ROW = 6
"""Rows that a statement may examine for each action of the run: it is read, sorted and counted."""

OF_TREES = {
    "run_trees._BY_NAME",
    "run_trees._CHILDREN",
    "run_trees._ATTEMPTS",
    "explanations._OF_ACTIONS",
}

_ATTEMPTS = text("""
INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, available_at, leased_at)
SELECT a.org, a.id, n, a.id, 'c1', 5, :now, :now FROM actions a, generate_series(1, 2) n
""")


def all_statements() -> dict[str, str]:
    """Name the statements of trees: those of modules, and those that are made for each order."""
    made = ModuleType("made")
    for number, clause in enumerate([*run_trees._ROWS.values(), *run_trees._FOLDS.values()]):
        setattr(made, f"statement{number}", clause)
    return {**statements_of(run_trees, explanations), **statements_of(made)}


@pytest.mark.parametrize("state", ["analysed", "never"])
async def test_windows_of_a_tree_examine_no_other_run(
    state: str, store: Store, postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> None:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for name in ("actions", "attempts", "runs", "dispatches"):
        await owner.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = false)")
    others = await store.create(make_new_run("others"))
    await add_children(store.database, others, OTHERS, ended=OTHERS)
    run = await store.create(make_new_run())
    await add_children(store.database, run, CHILDREN, ended=CHILDREN // 2)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(_ATTEMPTS, {"now": NOW})
    if state == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()

    leaf = TreeNode(parent=ActionName("a0-w000001"), limit=100)
    nodes = (TreeNode(parent=ROOT), leaf, TreeNode(parent=None))
    database = open_database(test_database.url, pool_size=1)
    trees = RunTrees(database, FakeClock(NOW), None)
    with examining(database, Examined(_names=all_statements())) as seen:
        for sort in TreeSort:
            tree = await trees.get(OPERATOR, make_run_key(), TreeView(nodes=nodes, sort=sort))
            assert [window.total for window in tree.windows] == [CHILDREN, 0, CHILDREN + 1]
            assert len(tree.windows[0].rows) == 200
        assert {"run_trees._PHASES", *OF_TREES} <= set(seen.rows)
        assert (
            len([name for name in seen.rows if name.startswith("made.")]) == 2 * len(TreeSort) + 2
        )
        too_many = [
            f"{name}: {rows}\n{seen.plans[name]}"
            for name, rows in seen.rows.items()
            if rows > A_ROW * CHILDREN
        ]
        assert not too_many, "\n\n".join(too_many)
    await database.close()
