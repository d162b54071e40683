"""
Tests that purges and states of runs examine rows in proportion to the runs: 100 of 20,000, whatever
holds them, and however many actions got a cached result within the run itself.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.run_holds import MOST_SHOWN, HoldKind
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch.run_holds import find_holds
from controlplane.store.resources import run_purges, run_states
from shared.model.ids import ActionId, RunId
from tests.factories import NOW, ORG, make_new_run, make_run_key
from tests.integration.store.conftest import Store
from tests.integration.store.examined import Examined, examining, explain_everything
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
RUNS, ACTIONS = 100, 1_000
LATER = NOW + timedelta(days=3650)
A_ROW = 60
"""Rows that a statement may examine for each row of its set, as in test_examined.py."""
A_RUN = 40 + len(HoldKind) * MOST_SHOWN * 4
"""Rows for each run: up to ``MOST_SHOWN`` holds of each kind, with what they are joined with."""

OF_PURGES = {
    "run_holds._FIND",
    "run_purges._BEGIN",
    "run_purges._DELETE_ACTIONS",
    "run_purges._DELETE_ATTEMPTS",
    "run_purges._DELETE_PHASE_EVENTS",
    "run_purges._LOCK_ALL",
    "run_purges._LOCK_FREE",
}

OF_RUN_STATES = {
    "run_states._ARCHIVE",
    "run_states._FIND",
    "run_states._LOCK",
    "run_states._MARKS",
    "run_states._RESTORE",
}

# Ended runs r1 to r20000; each tenth is held in each way that can be had many times.
FILL = f"""
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, created_at,
                  started_at, recovers, inputs_of)
    SELECT 'acme', md5('run' || n)::uuid, 'p', 'development', 'r' || n, 1, '', 'b', now(), now(),
           CASE WHEN n > 10000 AND n % 10 = 0 THEN md5('run' || n - 10000)::uuid END,
           CASE WHEN n > 10000 AND n % 10 = 1 THEN md5('run' || n - 10000)::uuid END
    FROM generate_series(1, {OTHERS}) n;
INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change, created_at,
                     updated_at, ended_at, cached_run)
    SELECT org, run_id, run_id, 'a0', 1, '', 'i', 5, 1, created_at, created_at,
           created_at - interval '2 days',
           CASE WHEN run LIKE '%3' THEN 'p/development/r3' END
    FROM runs WHERE run <> 'wide';
INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, available_at, leased_at)
    SELECT org, id, 1, id, 'c1', 5, now(), now() FROM actions;
INSERT INTO artifacts (org, project, domain, name, version, number, spec, digest, source_run,
                       source_action, created_at)
    SELECT 'acme', 'p', 'development', 'model', 'v' || n, n, '', '', 'r' || n % 200, 'a0', now()
    FROM generate_series(1, {OTHERS}) n;
INSERT INTO cache_entries (org, key, project, domain, run, output_uri, created_at, hit_at,
                           replaces_before)
    SELECT 'acme', 'k' || n, 'p', 'development', 'r' || n % 200, 'o', now(), now(), now()
    FROM generate_series(1, {OTHERS}) n;
UPDATE actions a SET cached_run = 'p/development/wide'
    FROM runs r WHERE r.run_id = a.run_id AND r.run = 'wide' AND a.name <> 'a0';
"""  # noqa: S608 -- a number


@pytest.fixture(params=["analysed", "never"])
async def measured(
    request: pytest.FixtureRequest,
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> AsyncIterator[tuple[Database, Examined]]:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    wide = await store.create(make_new_run("wide"))
    await add_children(store.database, wide, OTHERS, ended=OTHERS)
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("actions", "artifacts", "attempts", "cache_entries", "runs"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await owner.execute(FILL)
    if request.param == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1, fleet_pool_size=1)
    with examining(database) as seen:
        yield database, seen
    await database.close()


async def test_purges_examine_rows_in_proportion_to_their_runs(
    measured: tuple[Database, Examined],
) -> None:
    database, seen = measured
    async with database.for_org(ORG) as tx:
        rows = await tx.rows(
            text("SELECT run_id, run FROM runs WHERE run <> 'wide' ORDER BY run_id LIMIT :most"),
            {"most": RUNS},
        )
        names = {RunId(row.run_id): row.run for row in rows}
        begun = await run_purges.begin_purges(tx, names, ended_before=LATER, now=NOW)
        assert begun
        held = set(names) - set(begun)
        await run_purges.begin_purges(tx, held, ended_before=LATER, now=NOW, skip_locked=False)
        wide = RunId((await tx.rows(text("SELECT run_id FROM runs WHERE run = 'wide'")))[0].run_id)
        assert await find_holds(tx, {wide: make_run_key("wide")}) == {}
        page = await run_purges.list_actions(tx, wide, after="", most=ACTIONS)
        await run_purges.delete_actions(tx, [ActionId(action) for action, _ in page])
        await tx.connection.rollback()

    assert set(seen.rows) >= OF_PURGES, sorted(OF_PURGES - set(seen.rows))
    most = {"run_holds._FIND": A_RUN * RUNS, "run_purges._BEGIN": A_ROW * RUNS}
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_PURGES
        if seen.rows[name] > most.get(name, A_ROW * ACTIONS)
    ]
    assert not too_many, "\n\n".join(too_many)


async def test_states_of_runs_examine_rows_in_proportion_to_their_runs(
    measured: tuple[Database, Examined],
) -> None:
    database, seen = measured
    names = [f"r{number}" for number in range(1, RUNS + 1)]
    async with database.for_org(ORG) as tx:
        found = await run_states.find_runs(tx, "p", "development", names)
        assert await run_states.archive(tx, found.values(), by="ada", now=NOW) == sorted(names)
        assert len(await run_states.find_marks(tx, found.values())) == RUNS
        assert await run_states.restore(tx, found.values()) == sorted(names)
        await tx.connection.rollback()

    assert set(seen.rows) >= OF_RUN_STATES, sorted(OF_RUN_STATES - set(seen.rows))
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_RUN_STATES
        if seen.rows[name] > A_ROW * RUNS
    ]
    assert not too_many, "\n\n".join(too_many)
