"""
Tests that reports of a tracked run examine rows in proportion to their batch: 250 and 1,000 of them,
in a run with 20,000 other actions; and that lists of either kind of runs read no run of the other.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.actions import ActionType, RunSource, TaskInfo
from controlplane.core.lists import Listing
from controlplane.core.runs import RunScope
from controlplane.core.tracked_runs import Description, Tree, Update, names_in
from controlplane.store.database import OrgTx, open_database
from controlplane.store.resources import tracked_runs
from controlplane.store.resources.lists import list_runs
from controlplane.store.resources.tracked_reports import save
from shared.kit.uuids import new_uuid
from shared.model.ids import ROOT, ActionId, ActionName, RunId
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_run, make_spec
from tests.integration.store.conftest import Store
from tests.integration.store.examined import Examined, examining, explain_everything
from tests.integration.store.large import Large
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
A_ROW = 60
"""Rows that a statement may examine for each report, as in test_examined.py."""

OF_TRACKED_RUNS = {
    "tracked_reports._DESCRIBE",
    "tracked_reports._HISTORY",
    "tracked_reports._INSERT",
    "tracked_reports._SAVE_ATTEMPTS",
    "tracked_reports._UPDATE",
    "tracked_runs._ACTIONS",
    "tracked_runs._ANCESTORS",
    "tracked_runs._ATTEMPTS",
}

# 100 runs, and 5,000 tracked ones that are newer.
MANY_RUNS = f"""
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, source, created_at,
                  started_at)
    SELECT r.org, md5(kind || n)::uuid, r.project, r.domain, kind || n, 1, r.run_spec, r.run_base,
           CASE kind WHEN 'plain' THEN 0 ELSE {RunSource.TRACKED.value} END,
           r.created_at + (n + CASE kind WHEN 'plain' THEN 0 ELSE 5000 END) * interval '1 second',
           r.started_at
    FROM runs r, unnest(ARRAY['plain', 'local']) kind, generate_series(1, 5000) n
    WHERE r.run = 'r1' AND (kind = 'local' OR n <= 100);
INSERT INTO actions (org, id, run_id, name, parent, type, spec, input_uri, phase, change, created_at,
                     updated_at)
    SELECT r.org, r.run_id, r.run_id, 'a0', NULL, 1, r.run_spec, '', 1, 1, r.created_at, r.created_at
    FROM runs r WHERE r.run <> 'r1';
"""  # noqa: S608 -- a number


@pytest.fixture(params=["analysed", "never"])
async def state(
    request: pytest.FixtureRequest, test_database: DatabaseForTest
) -> AsyncIterator[tuple[asyncpg.Connection, str]]:
    """The owner's connection, and whether the tables are to be analysed once they are filled."""
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("actions", "attempts", "runs"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    yield owner, request.param
    await owner.close()


async def apply(store: Store, run: RunId, updates: list[Update]) -> None:
    async with store.database.for_org(ORG) as tx:
        locked = await tracked_runs.lock_tracked(tx, run)
        names = names_in(updates)
        actions = await tracked_runs.read_actions(tx, run, names)
        known = [
            (actions[each.name].id, each.name, each.attempt)
            for each in updates
            if each.name in actions
        ]
        tree = Tree(
            actions=actions,
            attempts=await tracked_runs.read_attempts(tx, known),
            ancestors=await tracked_runs.read_ancestors(tx, run, names),
            new_id=lambda: ActionId(new_uuid(NOW)),
            created_at=locked.created_at,
            now=NOW,
        )
        assert [tree.apply(each) for each in updates] == [""] * len(updates)
        await save(tx, locked, tree)


def make_updates(size: int, phase: Phase, version: int, *, known: bool) -> list[Update]:
    described = Description(
        parent=ROOT, type=ActionType.TASK, spec=make_spec(b"a child"), info=TaskInfo(name="t")
    )
    return [
        Update(
            name=ActionName(f"n{size}-{number}"),
            attempt=1,
            version=version,
            phase=phase,
            at=NOW,
            described=described if known else None,
        )
        for number in range(size)
    ]


async def test_reports_examine_rows_in_proportion_to_their_batch(
    state: tuple[asyncpg.Connection, str],
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> None:
    owner, analysed = state
    await explain_everything(postgres_server.superuser_url, test_database.name)
    run = await store.create(replace(make_new_run("local-1"), source=RunSource.TRACKED))
    await add_children(store.database, run, OTHERS)
    if analysed == "analysed":
        await owner.execute("ANALYZE")
    database = open_database(test_database.url, pool_size=1)
    measured = Store(database, test_database.url)
    with examining(database) as seen:
        for size in (250, 1_000):
            seen.forget()
            await apply(measured, run, make_updates(size, Phase.RUNNING, 1, known=False))
            await apply(measured, run, make_updates(size, Phase.SUCCEEDED, 2, known=True))
            assert_few(seen, size)
    await database.close()


def assert_few(seen: Examined, size: int) -> None:
    assert set(seen.rows) >= OF_TRACKED_RUNS, sorted(OF_TRACKED_RUNS - set(seen.rows))
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_TRACKED_RUNS
        if seen.rows[name] > A_ROW * size
    ]
    assert not too_many, "\n\n".join(too_many)


async def test_list_of_runs_reads_no_tracked_ones_and_the_other_way_round(
    store: Store, test_database: DatabaseForTest
) -> None:
    run = await store.create(make_new_run("r1"))
    await add_children(store.database, run, OTHERS)
    owner = await asyncpg.connect(test_database.owner_url)
    await owner.execute(MANY_RUNS)
    await owner.execute("ANALYZE")
    await owner.close()
    scope = RunScope(project="p", domain="development")

    async def plain(tx: OrgTx) -> None:
        page = await list_runs(tx, scope, Listing(limit=50))
        assert {row.key.run.name[:5] for row in page.rows} == {"plain"}

    async def tracked(tx: OrgTx) -> None:
        page = await list_runs(tx, replace(scope, tracked=True), Listing(limit=50))
        assert {row.key.run.name[:5] for row in page.rows} == {"local"}

    for work in (plain, tracked):
        (await Large(store.database).count_pages(work)).assert_few(51 * 10)


async def test_run_that_is_reported_often_is_seldom_written_for_it(store: Store) -> None:
    run = await store.create(replace(make_new_run("local-1"), source=RunSource.TRACKED))
    due: list[object] = []
    for seconds in (0, 1, 2, 600):
        async with store.database.for_org(ORG) as tx:
            now = NOW + timedelta(seconds=seconds)
            await tracked_runs.expect_reports(tx, run, within=timedelta(hours=1), now=now)
            rows = await tx.rows(text("SELECT due_at FROM actions WHERE id = :id"), {"id": run})
            due.append(rows[0].due_at)

    later = NOW + timedelta(hours=1)
    assert due == [later, later, later, later + timedelta(minutes=10)]
