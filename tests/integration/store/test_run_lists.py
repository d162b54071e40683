"""Tests of rows of lists of runs and their counts, and that they read few rows of large runs."""

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Grant, Subject
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.run_lists import MOST_COUNTED, RunFilter
from controlplane.store.database import open_database
from controlplane.store.resources import run_lists
from controlplane.usecases.run_lists import RunLists
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
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

OF_RUN_LISTS = {"run_lists._FIRST_ERRORS", "run_lists._PHASES"}
RUNS, WIDE = 20, 20_000
LATER = NOW + timedelta(hours=1)

_FAIL = text("""
UPDATE actions SET phase = 6, error_code = 'Broken', error_kind = 1, error_message = 'it broke',
                   error_recoverable = false, error_uri = '', ended_at = :now
WHERE org = :org AND name LIKE :name
""")


@pytest.fixture
def listed(store: Store) -> RunLists:
    return RunLists(store.database, FakeClock(LATER))


async def test_row_of_a_run_has_its_phases_and_first_error(store: Store, listed: RunLists) -> None:
    await store.create(make_new_run("quiet"))
    await store.create(replace(make_new_run("broken"), labels={"team": "vision"}))
    await store.enqueue(make_new_action("bad", run="broken"), make_new_action("good", run="broken"))
    leased = {each.key.name: each for each in await store.claim()}
    failure = replace(make_failure(recoverable=False), message="Traceback (most\nOops: no\n")
    [bad] = [each for name, each in leased.items() if name == "bad"]
    await store.report(make_report(bad, 1, Phase.FAILED, failure=failure))
    rows, token = await listed.list(
        OPERATOR, RunFilter(labels={"team": "vision"}), limit=5, token=""
    )
    [row] = rows
    assert (row.root.key.run.name, token) == ("broken", "")
    assert (row.phases, row.partial) == ({Phase.QUEUED: 2, Phase.FAILED: 1}, False)
    assert row.failure is not None
    assert (row.failed, row.failure.code, row.failure.message) == ("bad", "Broken", "Oops: no")
    rows, _ = await listed.list(OPERATOR, RunFilter(text="QUIE"), limit=5, token="")
    assert [(each.failed, each.phases) for each in rows] == [(None, {Phase.QUEUED: 1})]


async def test_rows_of_runs_are_paged(store: Store, listed: RunLists) -> None:
    for name in ("r1", "r2", "r3"):
        await store.create(make_new_run(name))
    names, token = [], ""
    while True:
        rows, token = await listed.list(OPERATOR, RunFilter(), limit=2, token=token)
        names += [row.root.key.run.name for row in rows]
        if not token:
            break
    assert sorted(names) == ["r1", "r2", "r3"]


async def test_runs_are_counted_by_phase_in_buckets(store: Store, listed: RunLists) -> None:
    for name, minutes in (("r1", 0), ("r2", 20), ("r3", 59), ("old", -10)):
        await store.create(make_new_run(name))
        async with store.database.for_org(ORG) as tx:
            await tx.execute(
                text("UPDATE runs SET created_at = :at WHERE org = :org AND run = :run"),
                {"run": name, "at": NOW + timedelta(minutes=minutes)},
            )
    found = await listed.summarize(OPERATOR, RunFilter(since=NOW), buckets=3)
    assert list(found.buckets) == [{Phase.QUEUED: 1}, {Phase.QUEUED: 1}, {Phase.QUEUED: 1}]
    assert (found.until, found.counted_since) == (LATER, None)
    narrow = RunFilter(
        since=NOW, until=NOW + timedelta(minutes=30), phases=frozenset({Phase.FAILED})
    )
    assert (await listed.summarize(OPERATOR, narrow, buckets=2)).phases == {}


async def test_summary_counts_the_newest_runs_only(
    store: Store, listed: RunLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lists, "MOST_SUMMARIZED", 2)
    for name in ("r1", "r2", "r3"):
        await store.create(make_new_run(name))
    found = await listed.summarize(OPERATOR, RunFilter(since=NOW), buckets=0)
    assert (sum(found.phases.values()), found.counted_since) == (2, NOW)


async def test_runs_of_a_project_that_may_not_be_read_are_not_found(
    store: Store, listed: RunLists
) -> None:
    await store.create(make_new_run())
    elsewhere = Caller(
        subject=Subject("user:eve"), org=ORG, name="", grants=(Grant(EVERYTHING, "other"),)
    )
    assert (await listed.list(elsewhere, RunFilter(), limit=5, token=""))[0] == []
    for chosen in (RunFilter(project="p"), RunFilter(project="p", domain="development")):
        with pytest.raises(NotFoundError, match="project"):
            await listed.list(elsewhere, chosen, limit=5, token="")
        with pytest.raises(NotFoundError, match="project"):
            await listed.summarize(elsewhere, chosen, buckets=1)
    with pytest.raises(InvalidError, match="buckets"):
        await listed.summarize(OPERATOR, RunFilter(since=NOW), buckets=501)


@pytest.mark.parametrize("state", ["analysed", "never"])
async def test_rows_of_runs_examine_a_bounded_part_of_each_run(
    state: str, store: Store, postgres_server: PostgresForTests, test_database: DatabaseForTest
) -> None:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for name in ("actions", "runs", "dispatches"):
        await owner.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = false)")
    runs = [await store.create(make_new_run(f"r{number}")) for number in range(RUNS)]
    await add_children(store.database, runs[-1], WIDE, ended=WIDE)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(_FAIL, {"name": "a0-w00%", "now": NOW})
    if state == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1)
    with examining(database, Examined(_names=statements_of(run_lists))) as seen:
        rows, _ = await RunLists(database, FakeClock(NOW)).list(
            OPERATOR, RunFilter(), limit=50, token=""
        )
        assert len(rows) == RUNS
        assert [row.partial for row in rows].count(True) == 1
        assert set(seen.rows) == OF_RUN_LISTS
        assert seen.rows["run_lists._PHASES"] < 5 * (MOST_COUNTED + RUNS), seen.plans
        assert seen.rows["run_lists._FIRST_ERRORS"] < 10 * RUNS, seen.plans
    await database.close()
