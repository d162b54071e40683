"""
Tests that the scheduler and lists of triggers use their indexes among 40,000 triggers, and the deletion
of unused results its own among as many.
"""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import asyncpg
import pytest

from controlplane.core.firings import MOST_EXAMINED, FiringReason
from controlplane.core.lists import Listing
from controlplane.core.runs import RunScope
from controlplane.core.triggers import TriggerKey, TriggerScope
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch.firings import (
    find_live_runs,
    find_next_wake,
    forget_deleted,
    list_due_orgs,
    lock_due,
    save_progress,
)
from controlplane.store.dispatch.unused_entries import delete_unused_entries
from controlplane.store.resources.lists import list_runs
from controlplane.store.resources.trigger_firings import list_firings, record_one
from controlplane.store.resources.triggers import find_trigger, list_triggers, lock_task
from shared.model.ids import DomainName, ProjectName
from tests.factories import NOW
from tests.integration.store.large import Large, large
from tests.servers.postgres import DatabaseForTest, PostgresForTests

__all__ = ["filled", "large"]

MINUTE = timedelta(minutes=1)
PROJECT, DOMAIN = ProjectName("p"), DomainName("development")

# Two orgs with 20,000 triggers of 400 tasks each: 100 are due, 1,000 were deleted lately.
FILL = """
INSERT INTO orgs SELECT org, now() FROM unnest(ARRAY['acme', 'other']) org;
INSERT INTO projects (org, project, created_at, updated_at)
    SELECT org, 'p', now(), now() FROM orgs;
INSERT INTO specs (org, digest, kind, body, created_at)
    SELECT org, sha256(('spec' || n)::bytea), 5, 'spec', now() FROM orgs, generate_series(1, 2000) n;
INSERT INTO tasks (org, project, domain, name, version, spec, deployed_at)
    SELECT org, 'p', 'development', 'env.t' || n, 'v1', sha256(('spec' || n)::bytea), now()
    FROM orgs, generate_series(0, 399) n;
INSERT INTO triggers (org, project, domain, task_name, name, revision, action, task_version, spec,
                      automation, automation_type, active, input_uri, description, origin,
                      deployed_by, updated_by, deployed_at, updated_at, deleted_at, cron, zone,
                      fire_at, wake_at)
    SELECT org, 'p', 'development', 'env.t' || n % 400, 'n' || n, 1, 1, 'v1',
           sha256(('spec' || 1 + n % 2000)::bytea), '', 2, n > 1000, 'file:///i', '', 0, 'ada', 'ada',
           :now, :now - n * interval '1 second', CASE WHEN n <= 1000 THEN :now END, '0-59 * * * *',
           'UTC', at, at
    FROM (SELECT org, n, CASE WHEN n > 19900 THEN :now
                              WHEN n > 1000 THEN :now + n * interval '1 second' END AS at
          FROM orgs, generate_series(1, 20000) n) t;
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, created_at,
                  started_at, trigger_task, trigger_name)
    SELECT org, md5(org || n)::uuid, 'p', 'development', 'r' || n, 1, '', 'b',
           :now - n * interval '1 minute', :now, 'env.t' || n % 400, 'n' || n % 400
    FROM orgs, generate_series(1, 20000) n;
INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change, created_at,
                     updated_at, task_name)
    SELECT org, run_id, run_id, 'a0', 1, '', 'i', 5, 1, created_at, created_at, trigger_task
    FROM runs;
INSERT INTO trigger_firings (org, project, domain, task_name, name, number, outcome, reason, instant,
                             last_instant, instants, decided_at)
    SELECT org, 'p', 'development', 'env.t' || n % 20, 'n' || n % 20, n, 1, 'on_time', now(), now(), 1,
           now()
    FROM orgs, generate_series(1, 20000) n;
INSERT INTO cache_entries (org, key, project, domain, task_name, run, action, attempt, output_uri,
                           created_at, replaces_before, hit_at)
    SELECT org, 'k' || n, 'p', 'development', 'env.t', 'r', 'a0', 1, 'o', :now, :now,
           CASE WHEN n > 50 THEN :now ELSE :now - interval '40 days' END
    FROM orgs, generate_series(1, 20000) n;
ANALYZE;
"""


@pytest.fixture(scope="module")
def filled(postgres_server: PostgresForTests) -> Iterator[DatabaseForTest]:
    async def fill(url: str) -> None:
        owner = await asyncpg.connect(url)
        await owner.execute(FILL.replace(":now", f"timestamptz '{NOW.isoformat()}'"))
        await owner.close()

    with postgres_server.migrated() as database:
        asyncio.run(fill(database.owner_url))
        yield database


async def test_due_triggers_are_found_by_index(large: Large) -> None:
    async def work(tx: FleetTx) -> None:
        assert await list_due_orgs(tx, NOW) == ["acme", "other"]

    (await large.count_pages_of_fleet(work)).assert_few(300)


async def test_next_trigger_is_found_by_index(large: Large) -> None:
    async def work(tx: FleetTx) -> None:
        assert await find_next_wake(tx, NOW) == NOW + timedelta(seconds=1001)

    (await large.count_pages_of_fleet(work)).assert_few(20)


async def test_deleted_triggers_are_looked_for_by_index(large: Large) -> None:
    async def work(tx: FleetTx) -> None:
        assert await forget_deleted(tx, NOW - MINUTE, most=100) == 0

    (await large.count_pages_of_fleet(work)).assert_few(20)


async def test_page_of_due_triggers_reads_pages_of_its_rows_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        due = await lock_due(tx, NOW, most=50)
        assert len(due) == 50
        await save_progress(tx, [each.row for each in due])

    (await large.count_pages(work)).assert_few(50 * 40)


async def test_trigger_and_those_of_its_task_are_found_by_key(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert await find_trigger(tx, TriggerKey(PROJECT, DOMAIN, "env.t7", "n1207"))
        assert len(await lock_task(tx, PROJECT, DOMAIN, "env.t7")) == 50

    (await large.count_pages(work)).assert_few(51 * 12)


async def test_triggers_of_a_task_are_listed_by_key(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        scope = TriggerScope(project=PROJECT, domain=DOMAIN, task_name="env.t7")
        assert len((await list_triggers(tx, scope, Listing(limit=10))).rows) == 10

    (await large.count_pages(work)).assert_few(50 * 12)


async def test_newest_runs_of_a_trigger_are_listed_by_index(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        scope = RunScope(project=PROJECT, domain=DOMAIN, task_name="env.t7", trigger_name="n7")
        assert len((await list_runs(tx, scope, Listing(limit=10))).rows) == 10

    (await large.count_pages(work)).assert_few(200)


async def test_runs_that_hold_back_a_trigger_are_found_by_index(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert not await find_live_runs(tx, [TriggerKey(PROJECT, DOMAIN, "env.t7", "n7")])

    (await large.count_pages(work)).assert_few(MOST_EXAMINED * 10)


async def test_newest_firings_of_a_trigger_are_listed_by_key(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        key = TriggerKey(PROJECT, DOMAIN, "env.t7", "n7")
        assert len((await list_firings(tx, key, Listing(limit=10))).rows) == 10

    (await large.count_pages(work)).assert_few(60)


async def test_firing_deletes_the_oldest_of_its_trigger_by_key(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        key = TriggerKey(PROJECT, DOMAIN, "env.t7", "n1207")
        assert await record_one(tx, key, FiringReason.BY_HAND, instant=NOW, now=NOW, run="r")

    (await large.count_pages(work)).assert_few(60)


async def test_unused_cached_results_are_deleted_by_index(large: Large) -> None:
    async def work(tx: FleetTx) -> None:
        assert await delete_unused_entries(tx, NOW - timedelta(days=30)) == 100

    (await large.count_pages_of_fleet(work)).assert_few(100 * 20)
