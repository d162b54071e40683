"""A late page of a list of 100,000 members examines as few rows as the first."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from controlplane.core import lists
from controlplane.core.lists import MAX_LIMIT, Filter, Listing
from controlplane.store.database import Database, OrgTx, open_database
from controlplane.store.identity import accounts, audit, invitations, members, roles
from tests.factories import ORG
from tests.integration.store.examined import Examined, examining, explain_everything
from tests.servers.postgres import DatabaseForTest, PostgresForTests

MANY = 100_000
"""Members and audit records; a fifth of it of all else."""
FEWER = MANY // 5
A_PAGE = 3 * (MAX_LIMIT + 1)
"""Rows that the nodes of a plan for one page may examine together."""

FILL = f"""
INSERT INTO orgs (org, created_at) VALUES ('acme', now());
INSERT INTO members (org, user_id, role, created_at)
    SELECT 'acme', md5('u' || n)::uuid, 'viewer', now() FROM generate_series(1, {MANY}) n;
INSERT INTO service_accounts (org, account_id, name, created_at)
    SELECT 'acme', md5('a' || n)::uuid, 'a' || n, now() FROM generate_series(1, {FEWER}) n;
INSERT INTO api_keys (org, key_id, account_id, digest, created_at)
    SELECT 'acme', md5('k' || n)::uuid, md5('a' || n)::uuid, 'x', now()
    FROM generate_series(1, {FEWER}) n;
INSERT INTO invitations (org, invitation_id, role, digest, created_at, expires_at)
    SELECT 'acme', md5('i' || n)::uuid, 'viewer', ('d' || n)::bytea, now(), now()
    FROM generate_series(1, {FEWER}) n;
INSERT INTO role_bindings (org, binding_id, principal_kind, principal_id, role, created_at)
    SELECT 'acme', md5('b' || n)::uuid, 'group', 'g' || n, 'viewer', now()
    FROM generate_series(1, {FEWER}) n;
INSERT INTO audit_log
    (org, number, at, actor, action, target, outcome, previous_hash, hash)
    SELECT 'acme', n, now(), 'user:' || (n % 7), 'org.rename', 'org:acme', 'done', '', ''
    FROM generate_series(1, {MANY}) n;
INSERT INTO audit_heads (org, number, hash) VALUES ('acme', {MANY}, '');
"""  # noqa: S608 - a number of ours

List = Callable[[OrgTx, Listing], Awaitable[tuple[Sequence[Any], str]]]


async def list_audit(tx: OrgTx, listing: Listing) -> tuple[Sequence[Any], str]:
    page = await audit.list_audit(tx, listing)
    return page.rows, page.token


async def list_bindings(tx: OrgTx, listing: Listing) -> tuple[Sequence[Any], str]:
    return await roles.list_bindings(tx, None, listing)


LISTS: dict[str, List] = {
    "members": members.list_members,
    "service_accounts": accounts.list_accounts,
    "api_keys": accounts.list_keys,
    "invitations": invitations.list_invitations,
    "role_bindings": list_bindings,
    "audit_log": list_audit,
}


class OfTables(Examined):
    """Records every statement under the table that it reads."""

    def name_of(self, query: str) -> str | None:
        read = re.search(r"FROM (\w+)", query)
        return read[1] if read else None


@pytest.fixture
async def measured(
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> AsyncIterator[tuple[Database, Examined]]:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for table in LISTS:
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await owner.execute(FILL)
    await owner.execute("ANALYZE")  # as autovacuum does; without, the org's rows are sorted
    await owner.close()
    database = open_database(test_database.url, pool_size=1)
    with examining(database, OfTables()) as seen:
        yield database, seen
    await database.close()


async def test_every_page_of_a_large_list_examines_a_page(
    measured: tuple[Database, Examined],
) -> None:
    database, seen = measured
    for table, list_page in LISTS.items():
        listing = Listing(limit=MAX_LIMIT)
        found = 0
        while True:
            async with database.for_org(ORG) as tx:
                rows, token = await list_page(tx, listing)
            found += len(rows)
            if not token:
                break
            listing = replace(listing, token=token)
        assert found == (MANY if table in {"members", "audit_log"} else FEWER)
        assert seen.rows[table] <= A_PAGE, seen.plans[table]


async def test_search_of_the_audit_log_examines_a_bounded_part_of_it(
    measured: tuple[Database, Examined],
) -> None:
    database, seen = measured
    rare = Listing(filters=[Filter("actor", lists.Test.EQUAL, ["user:none"])])
    pages = 0
    while True:
        async with database.for_org(ORG) as tx:
            page = await audit.list_audit(tx, rare)
        pages += 1
        if not page.token:
            break
        rare = replace(rare, token=page.token)
    assert pages == MANY // audit.MOST_EXAMINED
    assert seen.rows["audit_log"] <= 2 * audit.MOST_EXAMINED, seen.plans["audit_log"]
