"""
Tests that the latest run of each task of a page is found by one probe of an index: among 5,000 runs of
250 tasks, half of them tracked, with and without statistics.
"""

import asyncpg
import pytest

from controlplane.core.lists import Listing
from controlplane.core.tasks import TaskScope
from controlplane.store.database import open_database
from controlplane.store.resources.tasks import list_tasks
from tests.factories import ORG, make_new_run
from tests.integration.store.conftest import Store
from tests.integration.store.examined import examining, explain_everything
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OF_TASKS = {"tasks._LATEST_RUNS"}

FILL = """
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, source, created_at,
                  started_at, root_task)
    SELECT org, md5('r' || n)::uuid, project, domain, 'n' || n, 1, run_spec, run_base,
           CASE n / 250 % 2 WHEN 0 THEN 0 ELSE 4 END, created_at + n * interval '1 second', started_at,
           'task' || n % 250
    FROM runs, generate_series(1, 5000) n WHERE run = 'r1';
INSERT INTO actions (org, id, run_id, name, parent, type, spec, input_uri, phase, change, created_at,
                     updated_at)
    SELECT org, run_id, run_id, 'a0', NULL, 1, run_spec, '', 1, 1, created_at, created_at
    FROM runs WHERE run <> 'r1';
INSERT INTO tasks (org, project, domain, name, version, spec, deployed_at)
    SELECT org, project, domain, 'task' || n, 'v' || v, run_spec, created_at + v * interval '1 second'
    FROM runs, generate_series(0, 249) n, generate_series(1, 2) v WHERE run = 'r1';
"""


@pytest.mark.parametrize("state", ["analysed", "never"])
async def test_latest_runs_of_a_page_of_tasks_are_found_by_index(
    state: str,
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> None:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    await store.create(make_new_run("r1"))
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("actions", "runs", "tasks"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await owner.execute(FILL)
    if state == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1)
    with examining(database) as seen:
        async with database.for_org(ORG) as tx:
            page = await list_tasks(tx, TaskScope(project="p"), Listing(limit=200))
    await database.close()

    assert (page.total, page.filtered_total, len(page.rows)) == (250, 250, 200)
    latest = {row.key.name: row.latest_run for row in page.rows}
    assert all(latest.values())
    found = latest["task1"]
    assert found is not None
    assert found.run == "n4501"  # n4751 is tracked
    assert seen.rows["tasks._LATEST_RUNS"] <= 200 * 10, seen.plans["tasks._LATEST_RUNS"]
