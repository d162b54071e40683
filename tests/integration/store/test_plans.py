"""
Tests that hot statements use their indexes on large tables: they run as in the application, and
Postgres reports how many pages they read.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.inventory import LeaseRecord
from controlplane.core.lists import Listing
from controlplane.core.runs import RunScope
from controlplane.store.database import Database, FleetTx, OrgTx, open_database
from controlplane.store.dispatch import dispatches
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.admit import Enqueue, Enqueued
from controlplane.store.dispatch.cascades import EXAMINED, PAGE, end_page
from controlplane.store.dispatch.claim import Claimed, claim
from controlplane.store.dispatch.enqueue import enqueue
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.dispatch.timeouts import list_due
from controlplane.store.resources import actions, runs
from controlplane.store.resources.lists import list_actions, list_runs
from shared.kit.uuids import new_uuid
from shared.model.ids import (
    ROOT,
    ActionId,
    ActionName,
    AttemptId,
    ClusterName,
    LeaseId,
    OrgName,
    RunId,
)
from shared.model.phases import Phase
from shared.model.reports import AckStatus, Report
from tests.factories import NOW, ORG, make_new_action, make_run_key
from tests.servers.postgres import DatabaseForTest, PostgresForTests

CLUSTER = ClusterName("c1")
WIDE = RunId(UUID("00000000-0000-0000-0000-000000000001"))
"""A run of 100,000 actions below its root, most of them ended."""

# Two orgs of the same shape, so that no index may leave the org out.
FILL = """
INSERT INTO orgs SELECT org, now() FROM unnest(ARRAY['acme', 'other']) org;
INSERT INTO projects (org, project, created_at, updated_at)
    SELECT org, 'p', now(), now() FROM orgs;
INSERT INTO clusters (org, cluster, token_digest, created_at)
    SELECT org, 'c1', org::bytea, now() FROM orgs;
INSERT INTO specs (org, digest, kind, body, created_at)
    SELECT org, sha256('spec'), 1, 'spec', now() FROM orgs;

INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, created_at,
                  started_at)
    SELECT org, lpad(to_hex(n), 32, '0')::uuid, 'p', 'development', 'r' || n, 100001,
           sha256('spec'), 'file:///b/r' || n, :now - n * interval '1 minute', :now
    FROM orgs, generate_series(1, 2000) n;

-- Each run's root, and children: 100,000 of the first run, 20 of each other.
INSERT INTO actions (org, id, run_id, name, parent, type, spec, input_uri, phase, change,
                     created_at, updated_at)
    SELECT org, run_id, run_id, 'a0', NULL, 1, sha256('spec'), 'i', 4, 1, created_at, created_at
    FROM runs;
INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, phase,
                     change, created_at, updated_at)
    SELECT org, md5(org || '/' || n || '/' || c)::uuid, lpad(to_hex(n), 32, '0')::uuid,
           'c' || c, 'a0', lpad(to_hex(n), 32, '0')::uuid, 1, sha256('spec'), 'i',
           CASE WHEN c % 20 = 0 THEN 1 ELSE 5 END, c + 1, :now, :now
    FROM orgs, generate_series(1, 2000) n,
         generate_series(1, CASE WHEN n > 1 THEN 20 WHEN org = 'acme' THEN 100000 ELSE 1 END) c;

-- What lives waits, but for a part that the cluster holds. The last runs have a limit.
UPDATE runs SET max_action_concurrency = 5 WHERE substr(run, 2)::integer > 1800;
INSERT INTO dispatches (org, action_id, run_id, parent_id, is_root, attempt, pool, limited, enqueued_at,
                        available_at, lease_id, cluster, leased_at, accepted_at, stop_reason)
    SELECT org, id, run_id, parent_id, parent IS NULL, 1,
           CASE WHEN run_id::text > '00000000-0000-0000-0000-000000000708' THEN 'narrow' ELSE '' END,
           run_id::text > '00000000-0000-0000-0000-000000000708', :now, :now - interval '1 second', lease, cluster, leased, leased,
           CASE WHEN lease IS NOT NULL AND name = 'c20' THEN 'stop' END
    FROM (SELECT a.*, CASE WHEN held THEN md5('l' || id)::uuid END AS lease,
                 CASE WHEN held THEN 'c1' END AS cluster, CASE WHEN held THEN :now END AS leased
          FROM (SELECT *, parent IS NULL OR id::text < '3' AS held FROM actions) a
          WHERE phase NOT IN (5, 6, 7, 8, 10)) a;
INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, available_at, leased_at)
    SELECT a.org, a.id, 1, md5('l' || a.id)::uuid, 'c1', a.phase, :now, :now FROM actions a
    LEFT JOIN dispatches d ON d.org = a.org AND d.action_id = a.id
    WHERE d.action_id IS NULL OR d.lease_id IS NOT NULL;
INSERT INTO action_events (org, action_id, attempt, version, at, phase)
    SELECT org, action_id, 1, 1, :now, 4 FROM attempts;
ANALYZE;
"""

TOUCHED = text("""
SELECT c.relname AS name, pg_stat_get_xact_blocks_fetched(c.oid) AS blocks,
       CASE c.relkind WHEN 'r' THEN pg_stat_get_xact_numscans(c.oid) ELSE 0 END AS scans
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')
  AND pg_stat_get_xact_blocks_fetched(c.oid) > 0
ORDER BY blocks DESC
""")
SMALL = {
    "alembic_version",
    "cascades",
    "clusters",
    "control_clock",
    "orgs",
    "projects",
    "queues",
    "specs",
}


@dataclass(frozen=True, slots=True)
class Large:
    database: Database

    async def record_heartbeat(self, work: Callable[[OrgTx], Awaitable[object]]) -> "Touched":
        """Run it as the application would, twice (the second with cached plans), and roll it back."""
        await self._touch(work)
        return await self._touch(work)

    async def _touch(self, work: Callable[[OrgTx], Awaitable[object]]) -> "Touched":
        async with self.database.for_org(ORG) as tx:
            before = await self._count(tx)
            await work(tx)
            touched = (await self._count(tx)).since(before)
            await tx.connection.rollback()
        return touched

    async def touch_fleet(self, work: Callable[[FleetTx], Awaitable[object]]) -> "Touched":
        async with self.database.for_fleet("count pages") as tx:
            before = await self._count(tx)
            await work(tx)
            touched = (await self._count(tx)).since(before)
            await tx.connection.rollback()
        return touched

    async def _count(self, tx: OrgTx | FleetTx) -> "Touched":
        rows = (await tx.connection.execute(TOUCHED)).all()
        return Touched(
            pages={row.name: row.blocks for row in rows},
            scans={row.name: row.scans for row in rows if row.name not in SMALL},
        )


@dataclass(frozen=True, slots=True)
class Touched:
    """Pages read by table and index; sequential scans by table."""

    pages: dict[str, int]
    scans: dict[str, int]

    def since(self, before: "Touched") -> "Touched":
        def less(now: dict[str, int], then: dict[str, int]) -> dict[str, int]:
            return {
                name: count - then.get(name, 0)
                for name, count in now.items()
                if count > then.get(name, 0)
            }

        return Touched(less(self.pages, before.pages), less(self.scans, before.scans))

    def assert_few(self, most: int) -> None:
        assert self.scans == {}, self
        assert sum(self.pages.values()) <= most, self


@pytest.fixture(scope="module")
def filled(postgres_server: PostgresForTests) -> Iterator[DatabaseForTest]:
    async def fill(url: str) -> None:
        owner = await asyncpg.connect(url)
        await owner.execute(FILL.replace(":now", f"timestamptz '{NOW.isoformat()}'"))
        await owner.close()

    with postgres_server.migrated() as database:
        asyncio.run(fill(database.owner_url))
        yield database


@pytest.fixture
async def large(filled: DatabaseForTest) -> AsyncIterator[Large]:
    database = open_database(filled.url)
    yield Large(database)
    await database.close()


def child(number: int) -> ActionId:
    return ActionId(UUID(hex=hashlib.md5(f"acme/1/c{number}".encode()).hexdigest()))  # noqa: S324


def reports_of(held: Sequence[LeaseRecord], phase: Phase) -> list[Report]:
    return [
        Report(attempt=each.attempt, lease=each.lease, version=1, phase=phase, at=NOW)
        for each in held
    ]


async def held_by(tx: OrgTx, most: int) -> list[LeaseRecord]:
    leases = await dispatches.lock_leases(tx, CLUSTER)
    of_others = [each for each in leases.values() if each.attempt.action != WIDE]
    return of_others[:most]


async def test_claim_reads_pages_of_its_leases_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        found = await claim(tx, CLUSTER, "", scheduler=FairScheduler(), most=50, now=NOW)
        assert len(found.assignments) == 50

    (await large.record_heartbeat(work)).assert_few(50 * 60)


async def test_claim_under_limits_reads_pages_of_its_leases_and_counts_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        found = await claim(tx, CLUSTER, "narrow", scheduler=FairScheduler(), most=50, now=NOW)
        assert len(found.assignments) == 50

    (await large.record_heartbeat(work)).assert_few(50 * 70)


async def test_claim_reads_few_pages_when_no_work_is_available(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        found = await claim(
            tx, CLUSTER, "another pool", scheduler=FairScheduler(), most=50, now=NOW
        )
        assert found == Claimed()

    (await large.record_heartbeat(work)).assert_few(40)


async def test_list_of_stops_reads_few_pages_among_many_leases(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        stops = await dispatches.list_stops(tx, CLUSTER)
        assert 0 < len(stops) < 1000

    (await large.record_heartbeat(work)).assert_few(600)


async def test_reports_read_pages_of_their_attempts_only(large: Large) -> None:
    async with large.database.for_org(ORG) as tx:
        held = await held_by(tx, 50)
    assert len(held) == 50

    async def work(tx: OrgTx) -> None:
        answers = await apply_reports(tx, CLUSTER, reports_of(held, Phase.RUNNING), NOW)
        assert {each.status for each in answers} == {AckStatus.APPLIED}

    (await large.record_heartbeat(work)).assert_few(50 * 80)


async def test_reports_of_ends_read_pages_of_their_attempts_only(large: Large) -> None:
    async with large.database.for_org(ORG) as tx:
        held = await held_by(tx, 50)

    async def work(tx: OrgTx) -> None:
        await apply_reports(tx, CLUSTER, reports_of(held, Phase.SUCCEEDED), NOW)

    (await large.record_heartbeat(work)).assert_few(
        50 * 200
    )  # among them roots, with twenty children


async def test_repeated_reports_read_pages_of_their_attempts_only(large: Large) -> None:
    stale = [
        Report(
            attempt=AttemptId(child(number), 1),
            lease=LeaseId(child(number)),
            version=1,
            phase=Phase.SUCCEEDED,
            at=NOW,
        )
        for number in range(1, 51)
    ]

    async def work(tx: OrgTx) -> None:
        assert len(await apply_reports(tx, CLUSTER, stale, NOW)) == 50

    (await large.record_heartbeat(work)).assert_few(50 * 10)


async def test_accept_reads_pages_of_its_leases_only(large: Large) -> None:
    async with large.database.for_org(ORG) as tx:
        held = await held_by(tx, 50)

    async def work(tx: OrgTx) -> None:
        leases = [(each.attempt, each.lease) for each in held]
        answer = await dispatches.accept(tx, CLUSTER, leases, NOW)
        assert len(answer.not_leased) == 0

    (await large.record_heartbeat(work)).assert_few(50 * 20)


async def test_enqueue_below_a_wide_parent_reads_pages_of_new_actions_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        requests = [
            Enqueue(ActionId(new_uuid(NOW)), make_new_action(f"new{number}"))
            for number in range(50)
        ]
        assert set(await enqueue(tx, requests, NOW)) == {Enqueued.CREATED}

    (await large.record_heartbeat(work)).assert_few(50 * 80)


async def test_repeated_enqueue_reads_pages_of_its_actions_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        requests = [
            Enqueue(ActionId(new_uuid(NOW)), make_new_action(f"c{number}"))
            for number in range(1, 51)
        ]
        assert set(await enqueue(tx, requests, NOW)) == {Enqueued.DIFFERENT}

    (await large.record_heartbeat(work)).assert_few(50 * 40)


async def test_changes_after_a_cursor_are_read_by_index(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert len(await actions.list_changed(tx, WIDE, after=99_951, most=1000)) == 50

    (await large.record_heartbeat(work)).assert_few(50 * 10)


async def test_page_of_a_snapshot_reads_pages_of_its_rows_only(large: Large) -> None:
    async def page_of_all(tx: OrgTx) -> None:
        assert len(await actions.list_by_name(tx, WIDE, after="c5", most=100)) == 100

    async def page_of_children(tx: OrgTx) -> None:
        found = await actions.list_by_name(tx, WIDE, after="c5", most=100, parent=ROOT)
        assert len(found) == 100

    async def no_children(tx: OrgTx) -> None:
        leaf = ActionName("c77")
        assert await actions.list_by_name(tx, WIDE, after="", most=100, parent=leaf) == []

    (await large.record_heartbeat(page_of_all)).assert_few(100 * 10)
    (await large.record_heartbeat(page_of_children)).assert_few(100 * 10)
    (await large.record_heartbeat(no_children)).assert_few(20)


async def test_run_and_action_are_found_by_name_by_index(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        run = await runs.find_run(tx, make_run_key("r1"))
        assert run == WIDE
        assert await runs.get_change(tx, run)
        assert await actions.find_detail(tx, run, ActionName("c99999")) is not None

    (await large.record_heartbeat(work)).assert_few(60)


async def test_abort_of_a_leaf_reads_pages_of_the_leaf_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        leaf = ActionName("c40")
        assert await abort(tx, WIDE, leaf, reason="enough", by="someone", now=NOW) == 1

    (await large.record_heartbeat(work)).assert_few(100)


async def test_abort_of_a_wide_run_reads_a_part_of_its_children(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert await abort(tx, WIDE, ROOT, reason="enough", by="someone", now=NOW) == 1

    (await large.record_heartbeat(work)).assert_few((EXAMINED + PAGE) * 2)


async def test_page_of_a_cascade_reads_the_following_children_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert await abort(tx, WIDE, ROOT, reason="enough", by="someone", now=NOW) == 1
        for _ in range(3):
            assert await end_page(tx, WIDE, NOW) in range(EXAMINED // 25, PAGE)

    (await large.record_heartbeat(work)).assert_few(
        4 * (EXAMINED + PAGE) * 2 + 3 * EXAMINED // 20 * 60
    )


async def test_list_of_newest_runs_reads_no_child_actions(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        scope = RunScope(project="p", domain="development")
        page = await list_runs(tx, scope, Listing(limit=50))
        assert [row.key.run.name for row in page.rows[:2]] == ["r1", "r2"]

    (await large.record_heartbeat(work)).assert_few(51 * 10)


async def test_late_page_of_runs_reads_no_earlier_page(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        scope, token = RunScope(project="p", domain="development"), ""
        for _ in range(8):
            page = await list_runs(tx, scope, Listing(limit=200, token=token))
            token = page.token
        tokens.append(token)

    async def late(tx: OrgTx) -> None:
        scope = RunScope(project="p", domain="development")
        page = await list_runs(tx, scope, Listing(limit=50, token=tokens[0]))
        assert page.rows[0].key.run.name == "r1601"

    tokens: list[str] = []
    await large.record_heartbeat(work)
    (await large.record_heartbeat(late)).assert_few(51 * 10)


async def test_list_of_a_small_run_reads_few_pages_beside_a_large_one(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        small = RunId(UUID(int=7))
        assert len((await list_actions(tx, small, Listing())).rows) == 21

    (await large.record_heartbeat(work)).assert_few(21 * 12)


async def test_passes_across_orgs_read_due_rows_only(large: Large) -> None:
    async def conditions(tx: FleetTx) -> None:
        after = (OrgName(""), RunId(UUID(int=0)))
        tomorrow = NOW + timedelta(days=1)
        assert list(await list_due(tx, after=after, most=500, now=tomorrow)) == []

    (await large.touch_fleet(conditions)).assert_few(20)
