"""
Tests that no statement on a set examines more rows than its set, whatever the statistics of the
tables: at 250 and at 1,000 rows, with 20,000 other rows in the tables.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.actions import NewAction
from controlplane.store.database import open_database
from controlplane.store.dispatch import dispatches, leases, running_attempts
from controlplane.store.dispatch.cascades import end_page
from controlplane.store.dispatch.timeouts import time_out
from controlplane.store.resources import specs
from controlplane.store.resources.actions import list_roots
from shared.kit.uuids import new_uuid
from shared.model.assignments import Assignment
from shared.model.ids import ActionId, AttemptId, Digest, LeaseId, RunId
from shared.model.phases import Phase
from tests.factories import (
    NOW,
    ORG,
    make_failure,
    make_new_action,
    make_new_run,
    make_report,
)
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.examined import examining, explain_everything, set_statements
from tests.integration.store.test_examined_artifacts import OF_ARTIFACTS
from tests.integration.store.test_examined_caching import OF_CACHE, OF_RESERVATIONS
from tests.integration.store.test_examined_objects import OF_OBJECTS
from tests.integration.store.test_examined_recoveries import OF_RECOVERIES
from tests.integration.store.test_examined_restores import OF_RESTORES
from tests.integration.store.test_examined_run_purges import OF_PURGES, OF_RUN_STATES
from tests.integration.store.test_examined_run_trees import OF_TREES
from tests.integration.store.test_examined_tasks import OF_TASKS
from tests.integration.store.test_examined_tracked_runs import OF_TRACKED_RUNS
from tests.integration.store.test_examined_triggers import OF_TRIGGERS
from tests.integration.store.test_notification_plans import OF_SETS as OF_NOTIFICATIONS
from tests.integration.store.test_run_lists import OF_RUN_LISTS
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
SIZES = (250, 1_000)

MEASURED_ELSEWHERE = {
    # test_enqueue_steps.py
    "admit._LOCK_FREE_RUNS",
    "admit._ONLY_CHILDREN",
    "admit._WHICH_EXIST",
    "queues._WHICH_EXIST",
    *OF_ARTIFACTS,
    *OF_CACHE,
    *OF_OBJECTS,
    *OF_PURGES,
    *OF_RECOVERIES,
    *OF_NOTIFICATIONS,
    *OF_RESERVATIONS,
    *OF_RESTORES,
    *OF_RUN_LISTS,
    *OF_RUN_STATES,
    *OF_TREES,
    *OF_TASKS,
    *OF_TRACKED_RUNS,
    *OF_TRIGGERS,
}
"""Statements on sets that have tests of the rows that they examine in other modules."""

SMALL_SETS = {
    "artifact_uses._SAVE",  # versions of artifacts among a run's inputs, of which 100 are recorded
    "accounts._USED",  # API keys that one replica saw in a minute
    "scoped_settings._FIND",  # the levels of a scope: org, domain, project
    "named._FIND",  # names of notification rules and configurations, of which an org has 200
    "named._SHARE",  # configurations that a notification rule names
    "quotas._FIND",  # the org and one project
    "run_batches._DELETE_RUNS",  # triggers due together that a quota refuses: test_quotas.py
    "secrets._FIND",  # secrets that a task names
}
"""Statements on sets that are small by their nature; they have tests of their own."""


@pytest.fixture
async def owner(test_database: DatabaseForTest) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(test_database.owner_url)
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        await connection.execute(f"ALTER TABLE {table['relname']} SET (autovacuum_enabled = false)")
    yield connection
    await connection.close()


@pytest.mark.parametrize("state", ["analysed", "analysed when small", "never", "plans kept"])
async def test_set_statement_examines_rows_in_proportion_to_its_set(
    state: str,
    store: Store,
    owner: asyncpg.Connection,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> None:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    database = open_database(test_database.url, pool_size=1)
    measured = Store(database, test_database.url)
    with examining(database) as seen:
        if state == "plans kept":  # from when the tables were nearly empty
            for number in range(8):
                await do_everything(measured, f"small{number}", 2)
        if state == "analysed when small":
            await do_everything(measured, "small", 2)
            await owner.execute("ANALYZE")
        others = await store.create(make_new_run("others"))
        await add_children(store.database, others, OTHERS, ended=OTHERS // 2)
        await owner.execute("UPDATE dispatches SET pool = 'elsewhere'")
        if state == "analysed":
            await owner.execute("ANALYZE")

        # A large set may be looked up by reading the table once, but not once for each row.
        table = OTHERS if state == "analysed" else 2 * OTHERS
        for size in SIZES:
            seen.forget()
            await do_everything(measured, f"of{size}", size)
            too_many = [
                f"{name}: {rows}\n{seen.plans[name]}"
                for name, rows in seen.rows.items()
                if rows > 60 * size + table
            ]
            assert not too_many, "\n\n".join(too_many)
        names = set(set_statements().values())
        assert names > MEASURED_ELSEWHERE | SMALL_SETS
        assert not sorted(names - set(seen.rows) - MEASURED_ELSEWHERE - SMALL_SETS)
    await database.close()


async def do_everything(store: Store, name: str, size: int) -> None:
    """Run every statement on a set with ``size`` rows."""
    await run_and_end(store, f"{name}-run", size)
    await abort_and_time_out(store, f"{name}-abort", size)
    async with store.database.for_org(ORG) as tx:
        await specs.find_specs(tx, [Digest(bytes([number % 256]) * 32) for number in range(size)])


async def run_and_end(store: Store, name: str, size: int) -> None:
    run = await store.create(make_new_run(name))
    for _ in range(2):  # the second time they exist
        await store.enqueue(*(child_of(name, number) for number in range(size)))
    leased = [each for each in await claim_all(store, size) if each.key.run.name == name]
    kept = [(each.attempt, each.lease) for each in leased]
    async with store.database.for_org(ORG) as tx:
        await dispatches.accept(tx, CLUSTER, kept, NOW)
        await dispatches.note_missing(tx, CLUSTER, [attempt.action for attempt, _ in kept])
    await find_running(store, kept)
    await store.report(*(make_report(each, 1, Phase.RUNNING) for each in leased))
    [root] = [each for each in leased if each.parent is None]
    children = [each for each in leased if each.parent is not None]
    failed = [make_report(each, 2, Phase.FAILED, failure=make_failure()) for each in children]
    await store.report(*failed)  # they have a retry left
    await store.report(*failed)
    again = [each for each in await claim_all(store, size) if each.key.run.name == name]
    await store.report(*(make_report(each, 1, Phase.SUCCEEDED) for each in again))
    await store.report(*(make_report(each, 1, Phase.SUCCEEDED) for each in again))
    lost = [replace(each, lease=LeaseId(new_uuid(NOW))) for each in again]
    await store.report(*(make_report(each, 1, Phase.SUCCEEDED) for each in lost))  # refused
    async with store.database.for_org(ORG) as tx:
        await list_roots(tx, [RunId(each.attempt.action) for each in again])
        await leases.revoke(
            tx,
            [
                leases.ExpiredLease(
                    attempt=each.attempt, run=run, lease=each.lease, version=1, missing=True
                )
                for each in again
            ],
        )
    await add_children(store.database, run, size)
    await store.report(make_report(root, 2, Phase.SUCCEEDED))
    await end_cascade(store, run)


async def find_running(store: Store, leases_: list[tuple[AttemptId, LeaseId]]) -> None:
    """Find the attempts of these leases, which all run, in each of the ways."""
    of_org = [(attempt.action, lease) for attempt, lease in leases_]
    async with store.database.for_org(ORG) as tx:
        for cluster in (None, CLUSTER):
            found = await running_attempts.find_running(tx, of_org, cluster=cluster)
            assert len(found) == len(leases_)
    async with store.database.for_fleet("test") as fleet:
        everywhere = [(ORG, action, lease) for action, lease in of_org]
        assert len(await running_attempts.list_still_running(fleet, everywhere)) == len(leases_)


async def abort_and_time_out(store: Store, name: str, size: int) -> None:
    run = await store.create(make_new_run(name))
    await store.enqueue(child_of(name, 0), child_of(name, 1))
    await add_children(store.database, run, 2 * size, parent="c0")
    await add_children(store.database, run, 1, parent="c0-w%")  # each leaves a marker
    await add_children(store.database, run, size, parent="c1")
    async with store.database.for_org(ORG) as tx:
        await tx.execute(
            text("UPDATE actions SET due_at = :now WHERE run_id = :run AND parent = 'c1'"),
            {"run": run, "now": NOW},
        )
        rows = await tx.rows(
            text("SELECT id FROM actions WHERE run_id = :run AND parent = 'c1'"), {"run": run}
        )
        await time_out(tx, [(ActionId(row.id), run) for row in rows], NOW)
    await claim_all(store, size)
    await store.abort(run)
    await end_cascade(store, run)


async def end_cascade(store: Store, run: RunId) -> None:
    async with store.database.for_org(ORG) as tx:
        while await end_page(tx, run, NOW) is not None:
            pass


async def claim_all(store: Store, at_once: int) -> list[Assignment]:
    claimed: list[Assignment] = []
    while found := await store.claim(at_once):
        claimed += found
    return claimed


def child_of(run: str, number: int) -> NewAction:
    return make_new_action(f"c{number}", run=run, retries=1)
