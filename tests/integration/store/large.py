"""
Two orgs with large tables, and the pages that statements read in them, as Postgres counts them.

Statements run as in the application. Import the fixtures ``filled`` and ``large`` by name.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.store.database import Database, FleetTx, OrgTx, open_database
from shared.model.ids import (
    ClusterName,
    RunId,
)
from tests.factories import NOW, ORG
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

-- A few runs repeat another.
UPDATE runs SET relation = 1, related_to = 'r1' WHERE run IN ('r900', 'r1500');

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

_COUNTS = text("""
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

    async def count_pages(self, work: Callable[[OrgTx], Awaitable[object]]) -> "PagesRead":
        """Run it as the application would, twice (the second with cached plans), and roll it back."""
        await self._count_once(work)
        return await self._count_once(work)

    async def _count_once(self, work: Callable[[OrgTx], Awaitable[object]]) -> "PagesRead":
        async with self.database.for_org(ORG) as tx:
            before = await self._count(tx)
            await work(tx)
            read = (await self._count(tx)).since(before)
            await tx.connection.rollback()
        return read

    async def count_pages_of_fleet(
        self, work: Callable[[FleetTx], Awaitable[object]]
    ) -> "PagesRead":
        async with self.database.for_fleet("count pages") as tx:
            before = await self._count(tx)
            await work(tx)
            read = (await self._count(tx)).since(before)
            await tx.connection.rollback()
        return read

    async def _count(self, tx: OrgTx | FleetTx) -> "PagesRead":
        rows = (await tx.connection.execute(_COUNTS)).all()
        return PagesRead(
            pages={row.name: row.blocks for row in rows},
            scans={row.name: row.scans for row in rows if row.name not in SMALL},
        )


@dataclass(frozen=True, slots=True)
class PagesRead:
    """Pages read by table and index; sequential scans by table."""

    pages: dict[str, int]
    scans: dict[str, int]

    def since(self, before: "PagesRead") -> "PagesRead":
        def less(now: dict[str, int], then: dict[str, int]) -> dict[str, int]:
            return {
                name: count - then.get(name, 0)
                for name, count in now.items()
                if count > then.get(name, 0)
            }

        return PagesRead(less(self.pages, before.pages), less(self.scans, before.scans))

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
