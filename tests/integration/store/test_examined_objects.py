"""
Tests that statements on sets of an org's objects (clusters, queues, runs with a limit, pending
reasons) examine rows in proportion to their set: 250 and 1,000, with 20,000 other dispatches.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from controlplane.core.clusters import AgentLoad
from controlplane.core.pending_reasons import BlockedKind, BlockedScope, PendingReason
from controlplane.core.reason_codes import Reason
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch import aborts, concurrency, pending_reasons
from controlplane.store.notify.changes import lock_free_runs
from controlplane.store.resources import clusters, queues
from shared.model.ids import ClusterName, RunId
from tests.factories import NOW, ORG, make_new_run
from tests.integration.store.conftest import Store
from tests.integration.store.examined import Examined, examining, explain_everything
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
SIZES = (250, 1_000)
OBJECTS = 1_000
A_ROW = 60
"""Rows that a statement may examine for each object of its set, as in test_examined.py."""

RUN_0 = UUID("00000000-0000-0000-0001-000000000000")

OF_OBJECTS = {
    "aborts._LIVE_ROOTS",
    "changes._LOCK_FREE",
    "clusters._ALL_SEEN",
    "concurrency._OF_QUEUES",
    "concurrency._OF_RUNS",
    "concurrency._QUEUE_ROOMS",
    "concurrency._RUN_ROOMS",
    "pending_reasons._END",
    "pending_reasons._PAST",
    "pending_reasons._RESUME",
    "pending_reasons._START",
    "queues._FULL",
    "queues._LOCK_FREE",
    "queues._MOVE_RUNS",
}

# A thousand clusters and queues; a thousand runs with a limit of one action, each with a leased
# action in a queue of its own, and a child of that which waits.
FILL = """
INSERT INTO clusters (org, cluster, token_digest, created_at, epoch)
    SELECT 'acme', 'cluster' || n, sha256(('cluster' || n)::bytea), now(), 1
    FROM generate_series(0, 999) n;
INSERT INTO queues (org, queue, depth, action_concurrency, run_concurrency, created_at)
    SELECT 'acme', 'q' || n, 1, 1, 1, now() FROM generate_series(0, 999) n;
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, queue,
                  max_action_concurrency, created_at, started_at)
    SELECT org, ('00000000-0000-0000-0001-' || lpad(to_hex(n), 12, '0'))::uuid, project, domain,
           'r' || n, 1, run_spec, run_base, 'q' || n, 1, now(), now()
    FROM runs, generate_series(0, 999) n WHERE run = 'others';
INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change, created_at, updated_at)
    SELECT r.org, r.run_id, r.run_id, 'a0', 1, a.spec, 'i', 1, 1, now(), now()
    FROM runs r, actions a WHERE r.run <> 'others' AND a.name = 'a0';
INSERT INTO dispatches (org, action_id, run_id, is_root, attempt, queue, priority, limited, lease_id,
                        cluster, leased_at, enqueued_at, available_at)
    SELECT org, run_id, run_id, true, 1, queue, 0, true, md5('root' || run)::uuid, 'c1', now(), now(),
           now() FROM runs WHERE run <> 'others';
INSERT INTO dispatches (org, action_id, run_id, parent_id, attempt, queue, priority, limited, lease_id,
                        cluster, leased_at, enqueued_at, available_at)
    SELECT org, md5('leased' || run)::uuid, run_id, run_id, 1, queue, 0, true,
           md5('lease' || run)::uuid, 'c1', now(), now(), now() FROM runs WHERE run <> 'others';
INSERT INTO dispatches (org, action_id, run_id, parent_id, attempt, queue, priority, limited,
                        enqueued_at, available_at)
    SELECT org, md5('waits' || run)::uuid, run_id, md5('leased' || run)::uuid, 1, queue, 0, true,
           now(), now() FROM runs WHERE run <> 'others';
"""


@pytest.fixture(params=["analysed", "never"])
async def measured(
    request: pytest.FixtureRequest,
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> AsyncIterator[tuple[Database, Examined, int]]:
    """A database, the rows that its statements examine, and the rows of a scan that is allowed."""
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("actions", "clusters", "dispatches", "obstacles", "queues", "runs"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    others = await store.create(make_new_run("others"))
    await add_children(store.database, others, OTHERS)
    await owner.execute(FILL)
    if request.param == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1, fleet_pool_size=1)
    with examining(database) as seen:
        # A large set may be looked up by reading the table once, but not once for each row.
        yield database, seen, OTHERS + 4 * OBJECTS
    await database.close()


@pytest.mark.parametrize("size", SIZES)
async def test_statement_on_objects_examines_rows_in_proportion_to_them(
    measured: tuple[Database, Examined, int], size: int
) -> None:
    database, seen, table = measured
    await use_objects(database, size)
    await keep_pending_reasons(database, size)
    assert set(seen.rows) >= OF_OBJECTS, sorted(OF_OBJECTS - set(seen.rows))
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_OBJECTS
        if seen.rows[name] > A_ROW * size + table
    ]
    assert not too_many, "\n\n".join(too_many)


async def use_objects(database: Database, size: int) -> None:
    names = [f"q{number}" for number in range(size)]
    runs = [RunId(UUID(int=RUN_0.int + number)) for number in range(size)]
    load = AgentLoad(held=1, running=1, slots=1, counted_at=NOW)
    sessions = [(ClusterName(f"cluster{number}"), 1, load) for number in range(size)]
    async with database.for_org(ORG) as tx:
        await tx.plan_for(size)
        assert len(await clusters.record_heartbeats(tx, sessions, NOW)) == size
        assert len((await queues.lock_free_queues(tx, names))[0].capacities) == size
        assert len(await queues.list_full(tx, names)) == size
        await lock_free_runs(tx, runs)
        assert len(await tx.rows(aborts._LIVE_ROOTS, {"run_id": runs})) == size
        assert len(await concurrency.count_queue_slots(tx, names, most=10)) == size
        assert len(await concurrency.count_run_slots(tx, runs, most=10)) == size
        of_queues = await concurrency.list_handovers_in_queues(tx, names, pool="", priority=0)
        assert len(of_queues) == size
        of_runs = await concurrency.list_handovers_in_runs(tx, runs, names[:3], pool="", priority=0)
        assert len(of_runs) == 3
        await queues.move_runs_page(tx, "q0", "q1", past=None)
        await tx.connection.rollback()


async def keep_pending_reasons(database: Database, size: int) -> None:
    scopes = [BlockedScope(BlockedKind.QUEUE, f"q{number}") for number in range(size)]
    found = {
        (ORG, scope): PendingReason(reason=Reason.QUEUE_LIMIT, message="full") for scope in scopes
    }
    later = NOW + timedelta(seconds=1)
    async with database.for_fleet("a test") as tx:
        await pending_reasons.start(tx, found, NOW)
        await pending_reasons.end(tx, found.keys(), later)
        await pending_reasons.start(tx, found, later)
        assert len(await pending_reasons.list_there(tx)) == size
    async with database.for_org(ORG) as org:
        past = await pending_reasons.list_past(org, scopes, since=NOW, until=later)
        assert len(past) == size
