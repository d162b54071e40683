"""
Tests that statements of recoveries examine rows in proportion to their set: 250 and 1,000 actions
of a run of 5,000 that recovers another of 20,000, of which half are traces.
"""

from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.actions import ActionType
from controlplane.core.relations import Relation, RelationType
from controlplane.store.database import OrgTx, open_database
from controlplane.store.dispatch import recoveries
from shared.kit.uuids import new_uuid
from shared.model.ids import ROOT, ActionId, ActionName, RunId, RunName
from tests.factories import NOW, ORG, make_new_run, make_run_key
from tests.integration.store.conftest import Store
from tests.integration.store.examined import examining, explain_everything
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

CHILDREN, OWN = 20_000, 5_000
SIZES = (250, 1_000)
A_ROW = 60
"""Rows that a statement may examine for each action of its set, as in test_examined.py."""

OF_RECOVERIES = {
    "recoveries._COUNTERPARTS",
    "recoveries._INSERT_TRACES",
    "recoveries._UNKNOWN",
}

_END_ROOT = text("UPDATE actions SET phase = 6 WHERE org = :org AND id = :run_id")
_RENAME = text(
    "UPDATE actions SET name = 'other-' || name WHERE org = :org AND run_id = :run_id AND name > 'a0-w'"
)
_MAKE_TRACES = text(
    "UPDATE actions SET type = 2, output_uri = 'file:///outputs.pb'"
    " WHERE org = :org AND run_id = :run_id AND name > 'a0-w010000'"
)


@pytest.mark.parametrize("state", ["analysed", "never"])
async def test_statements_of_recoveries_examine_rows_in_proportion_to_their_set(
    state: str, store: Store, postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> None:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for name in ("actions", "runs", "dispatches"):
        await owner.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = false)")
    source = await store.create(make_new_run("source"))
    await add_children(store.database, source, CHILDREN, ended=CHILDREN)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(_END_ROOT, {"run_id": source})
        await tx.execute(_MAKE_TRACES, {"run_id": source})
        found = await recoveries.find_source(tx, make_run_key("source"))
    related = Relation(RelationType.RECOVER, RunName("source"))
    run = await store.create(replace(make_new_run("again"), relation=related, source_run=found))
    await add_children(store.database, run, OWN)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(_RENAME, {"run_id": run})
    if state == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()

    # A large set may be looked up by reading the table once, but not once for each row.
    table = CHILDREN + OWN
    scan = table if state == "analysed" else 2 * table
    database = open_database(test_database.url, pool_size=1)
    with examining(database) as seen:
        for size in SIZES:
            seen.forget()
            async with database.for_org(ORG) as tx:
                await tx.plan_for(size)
                await recover(tx, run, source, size)
                await tx.connection.rollback()
            assert set(seen.rows) >= OF_RECOVERIES, sorted(OF_RECOVERIES - set(seen.rows))
            too_many = [
                f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
                for name in OF_RECOVERIES
                if seen.rows[name] > A_ROW * size + scan
            ]
            assert not too_many, "\n\n".join(too_many)
    await database.close()


async def recover(tx: OrgTx, run: RunId, source: RunId, size: int) -> None:
    """Look up as many forced names and tasks, and write as many traces."""
    tasks = [ActionName(f"a0-w{number:06}") for number in range(1, size + 1)]
    assert await recoveries.find_unknown(tx, source, [*tasks, ActionName("none")]) == ["none"]
    wanted = [(ActionId(new_uuid(NOW)), run, name, ROOT, ActionType.TASK) for name in tasks]
    sources = [(source, RunName("source"))] * size
    assert len(await recoveries.find_counterparts(tx, wanted, sources)) == size
    traces = await recoveries.list_traces(tx, run, ROOT, after="", most=size)
    assert len(traces) == size
    await recoveries.recover_traces(tx, run, ROOT, [name for name, _ in traces], NOW)
    assert not {name for name, _ in traces} & {
        name for name, _ in await recoveries.list_traces(tx, run, ROOT, after="", most=size)
    }
