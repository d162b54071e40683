"""A deleted org's data is erased after its time, wherever a process dies, and no other org's is."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.deleted_orgs import DEFAULT_GRACE
from controlplane.core.errors import AlreadyExistsError, ConflictError, UnavailableError
from controlplane.core.identity import subject_of_user
from controlplane.loops.deleted_orgs import DeletedOrgLoop
from controlplane.store.database import Database, OrgTx, open_database
from controlplane.store.dispatch.firings import list_due_orgs, lock_due
from controlplane.store.identity import deleted_orgs as store
from controlplane.store.tables import TENANT_TABLES
from controlplane.usecases.identity.audit import Audit
from controlplane.usecases.identity.deleted_orgs import DeletedOrgs
from controlplane.usecases.identity.org_deletion import OrgDeletion
from controlplane.usecases.identity.orgs import Orgs
from shared.blobs.store import BlobStore, open_store
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName
from tests.factories import NOW
from tests.fakes.clock import FakeClock
from tests.integration.platform.org_rows import digest_rows
from tests.integration.store.examined import examined_rows
from tests.integration.store.test_tenancy import insertion
from tests.servers.postgres import DatabaseForTest
from tests.servers.seaweed import S3ForTests

OURS, THEIRS = OrgName("ours"), OrgName("theirs")
BUCKET = ("ours", "ours2", "theirs")
NEVER = timedelta(hours=1)
# Three pages of each.
MANY_ACTIONS = """
INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change, created_at,
                     updated_at)
    SELECT org, md5(org || n)::uuid, md5(org || n)::uuid, 'a0', 1, 's', 'i', 5, 1, now(), now()
    FROM orgs, generate_series(1, 2500) n;
INSERT INTO action_events (org, action_id, attempt, version, at, phase)
    SELECT org, id, 1, 1, now(), 5 FROM actions ON CONFLICT DO NOTHING;
"""
LOGINS = """
INSERT INTO token_families (family_id, org, subject, client_id, created_at, used_at, expires_at)
    SELECT md5(org || n)::uuid, org, 'user:1', 'flyte', now(), now(), now() + '1 day'
    FROM orgs, generate_series(1, 3) n;
INSERT INTO refresh_tokens (digest, family_id, created_at, expires_at)
    SELECT sha256(family_id::text::bytea), family_id, now(), now() FROM token_families;
INSERT INTO users (user_id, created_at) VALUES (md5('ada')::uuid, now());
INSERT INTO provider_logins (user_id, provider_id, org, checked_at, confirmed_at, seen_at)
    SELECT md5('ada')::uuid, md5(org)::uuid, org, now(), now(), now() FROM orgs;
"""
ADA = UUID(hex=hashlib.md5(b"ada").hexdigest())  # noqa: S324 - as Postgres makes it above
EMPTY = "0d41d8cd98f00b204e9800998ecf8427e"  # no rows, and the digest of nothing


def caller(org: OrgName = OURS) -> Caller:
    return Caller(subject=Subject("operator:test"), org=org, name="", grants=org_wide(EVERYTHING))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def owner(test_database: DatabaseForTest) -> AsyncIterator[Any]:
    """The owner of the tables; two orgs have a row in each of them."""
    owner = await asyncpg.connect(test_database.owner_url)
    for org in (OURS, THEIRS):
        for table in TENANT_TABLES:
            await owner.execute(insertion(table, org))
    await owner.execute("TRUNCATE audit_heads; UPDATE orgs SET created_by = 'user:1'")
    await owner.execute("ALTER TABLE audit_log DISABLE TRIGGER USER; DELETE FROM audit_log")
    await owner.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
    await owner.execute(LOGINS)
    yield owner
    await owner.close()


@pytest.fixture
async def database(test_database: DatabaseForTest) -> AsyncIterator[Database]:
    database = open_database(test_database.url)
    yield database
    await database.close()


@pytest.fixture(params=["directory", "s3"])
async def blobs(tmp_path: Path, request: pytest.FixtureRequest) -> BlobStore:
    if request.param == "s3":
        server: S3ForTests = request.getfixturevalue("s3_server")
        blobs = open_store(f"{server.new_base()}/volary", server.options)
    else:
        blobs = open_store((tmp_path / "blobs").as_uri())
    for path in ("ours/p/d/r/a0/1/outputs.pb", "ours/uploads/p/d/x", "ours2/p/x", "theirs/p/x"):
        await blobs.write(blobs.uri(path), b"x")
    return blobs


def loop_of(database: Database, blobs: BlobStore | None, clock: FakeClock) -> DeletedOrgLoop:
    feeds: Any = None  # passes run without waiting
    return DeletedOrgLoop(DeletedOrgs(database, blobs, clock), feeds, clock, every=NEVER)


async def delete(database: Database, clock: FakeClock) -> None:
    await OrgDeletion(database, clock).delete(caller(), OURS)


async def left(owner_url: str) -> set[str]:
    """Return the tables that have rows of the deleted org."""
    digests = await digest_rows(owner_url, OURS)
    parts = {name for name in digests if name.startswith("action_events_")}
    return {name for name, digest in digests.items() if digest != EMPTY} - parts


@pytest.mark.usefixtures("owner")
async def test_erasure_leaves_the_name_and_the_audit_log_and_touches_no_other_org(
    database: Database, blobs: BlobStore, clock: FakeClock, test_database: DatabaseForTest
) -> None:
    theirs = await digest_rows(test_database.owner_url, THEIRS)
    await delete(database, clock)
    clock.advance(DEFAULT_GRACE - timedelta(seconds=1))
    await loop_of(database, blobs, clock).erase_once()
    assert "secrets" in await left(test_database.owner_url)
    clock.advance(timedelta(seconds=1))
    assert await loop_of(database, blobs, clock).erase_once() > 0
    assert await left(test_database.owner_url) == {"orgs", "audit_log", "audit_heads"}
    assert await digest_rows(test_database.owner_url, THEIRS) == theirs
    found = {org: len(await blobs.list_below(blobs.uri(org), limit=9)) for org in BUCKET}
    assert found == {"ours": 0, "ours2": 1, "theirs": 1}

    assert await Audit(database).verify(caller()) is None
    async with database.for_org(OURS) as tx:
        acts = await tx.rows(text("SELECT action FROM audit_log ORDER BY number"))
        assert [each.action for each in acts] == ["org.delete", "org.erase"]
    with pytest.raises(ConflictError, match=r"was deleted on .*, and its data is erased"):
        await OrgDeletion(database, clock).restore(caller())
    person = Caller(subject=subject_of_user(ADA), org=OURS, name="")
    with pytest.raises(AlreadyExistsError, match="no other one gets its name"):
        await Orgs(database, clock, self_service=True).create(person, OURS)
    assert await loop_of(database, blobs, clock).erase_once() == 0


@pytest.mark.usefixtures("owner")
async def test_erasure_deletes_thousands_of_objects_of_a_bucket_by_two_replicas_at_once(
    database: Database, clock: FakeClock, s3_server: S3ForTests
) -> None:
    blobs = open_store(f"{s3_server.new_base()}/volary", s3_server.options)
    names = [f"ours/p/d/r{n % 7}/a{n}/1/outputs.pb" for n in range(1_100)]
    names += ["ours/p/ü ñ+%25&=?#/x", "ours/ /x", "ours2/p/x", "our/x", "theirs/ours/x"]
    for start in range(0, len(names), 100):
        writes = (blobs.write(blobs.uri(each), b"x") for each in names[start : start + 100])
        await asyncio.gather(*writes)
    await delete(database, clock)
    clock.advance(DEFAULT_GRACE)
    await asyncio.gather(*(loop_of(database, blobs, clock).erase_once() for _ in range(2)))
    found = {org: len(await blobs.list_below(blobs.uri(org), limit=9)) for org in (*BUCKET, "our")}
    assert found == {"ours": 0, "ours2": 1, "theirs": 1, "our": 1}


@pytest.mark.usefixtures("owner")
async def test_erasure_that_the_bucket_refuses_is_not_noted_as_done_and_is_finished_later(
    database: Database, clock: FakeClock, s3_server: S3ForTests, test_database: DatabaseForTest
) -> None:
    base = f"{s3_server.new_base()}/volary"
    blobs = open_store(base, s3_server.options)
    await blobs.write(blobs.uri("ours/x"), b"x")
    await delete(database, clock)
    clock.advance(DEFAULT_GRACE)
    refused = open_store(base, replace(s3_server.options, secret_key=SecretText("another")))
    await loop_of(database, refused, clock).erase_once()
    assert "secrets" in await left(test_database.owner_url), "rows stay while objects do"
    with pytest.raises(ConflictError, match="its data is erased"):
        await OrgDeletion(database, clock).restore(caller())
    await loop_of(database, blobs, clock).erase_once()
    assert await left(test_database.owner_url) == {"orgs", "audit_log", "audit_heads"}
    assert await blobs.list_below(blobs.uri("ours"), limit=9) == []


class FailingDatabase(Database):
    """A database whose transactions fail after some, as for a process that is killed."""

    def __init__(self, real: Database, after: int) -> None:
        self._real = real
        self.left = after

    def _count(self) -> None:
        if self.left <= 0:
            raise UnavailableError("killed")
        self.left -= 1

    @asynccontextmanager
    async def for_org(self, org: OrgName, **options: Any) -> AsyncIterator[OrgTx]:
        self._count()
        async with self._real.for_org(org, **options) as tx:
            yield tx

    @asynccontextmanager
    async def for_fleet(self, reason: str) -> AsyncIterator[Any]:
        self._count()
        async with self._real.for_fleet(reason) as tx:
            yield tx


async def test_erasure_is_finished_by_another_process_wherever_one_dies_and_is_in_pages(
    owner: Any,
    database: Database,
    blobs: BlobStore,
    clock: FakeClock,
    test_database: DatabaseForTest,
) -> None:
    await owner.execute(MANY_ACTIONS)
    theirs = await digest_rows(test_database.owner_url, THEIRS)
    await delete(database, clock)
    clock.advance(DEFAULT_GRACE)
    deaths = 0
    for after in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
        failing = FailingDatabase(database, after)
        with suppress(UnavailableError):
            await loop_of(failing, blobs, clock).erase_once()
        deaths += failing.left == 0
    assert deaths > 5
    await loop_of(database, blobs, clock).erase_once()
    assert await left(test_database.owner_url) == {"orgs", "audit_log", "audit_heads"}
    assert await digest_rows(test_database.owner_url, THEIRS) == theirs
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE action = 'org.erase'") == 1


async def test_restored_org_is_not_erased_by_a_replica_that_listed_it_before(
    owner: Any, database: Database, clock: FakeClock
) -> None:
    await delete(database, clock)
    orgs = DeletedOrgs(database, None, clock)
    [listed_before] = await orgs.list()
    clock.advance(DEFAULT_GRACE)
    await OrgDeletion(database, clock).restore(caller())
    assert await orgs.erase(listed_before.name) == 0
    assert await owner.fetchval("SELECT count(*) FROM members WHERE org = 'ours'") == 1


@pytest.mark.parametrize("statistics", ["fresh", "none"])
async def test_page_of_erased_rows_examines_its_own_rows(
    owner: Any, database: Database, statistics: str
) -> None:
    await owner.execute("ALTER TABLE actions SET (autovacuum_enabled = false)")
    await owner.execute(MANY_ACTIONS)
    if statistics == "fresh":
        await owner.execute("ANALYZE")
    for table in store.ERASED_TABLES:
        async with database.for_org(OURS) as tx:
            await tx.execute(store._BY_KEY)
            keys = [column.name for column in table.primary_key.columns][1:]
            first = text(f"SELECT {', '.join(keys)} FROM {table.name} LIMIT 1")  # noqa: S608
            row = (await tx.execute(first)).one()
            values = {f"after_{key}": value for key, value in zip(keys, row, strict=True)}
            for start in (True, False):
                query = store._erasure_of(table, has_start=start)
                given = {"org": OURS, "most": store.PAGE, **(values if start else {})}
                rows = await examined_rows(tx.connection, query, given)
                assert rows <= 10 * store.PAGE, (table.name, start)


async def test_triggers_of_a_deleted_org_are_not_due(
    owner: Any, database: Database, clock: FakeClock
) -> None:
    await owner.execute("UPDATE triggers SET wake_at = $1, fire_at = $1", NOW)
    async with database.for_fleet("test") as fleet:
        assert await list_due_orgs(fleet, NOW) == [OURS, THEIRS]
    await delete(database, clock)
    async with database.for_fleet("test") as fleet:
        assert await list_due_orgs(fleet, NOW) == [THEIRS]
    async with database.for_org(OURS) as tx:
        assert await lock_due(tx, NOW, most=10) == []


def test_every_table_of_tenants_is_erased_or_kept_for_a_reason() -> None:
    names = {table.name for table in store.ERASED_TABLES}
    assert names | store.KEPT == {table.name for table in TENANT_TABLES}
    assert not names & store.KEPT
