"""Grants and API keys are read by index, however many members, bindings and keys there are."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.identity import subject_of_account, subject_of_user
from controlplane.store.database import open_database
from controlplane.store.identity import accounts, grants
from tests.factories import NOW, ORG
from tests.servers.postgres import DatabaseForTest

MOST_PAGES = 60

FILL = """
INSERT INTO orgs (org, created_at) VALUES ('acme', now()), ('other', now());
INSERT INTO members (org, user_id, role, groups, created_at)
    SELECT org, md5('u' || n)::uuid, 'viewer', ARRAY['g' || n % 100, 'all'], now()
    FROM orgs, generate_series(1, 10000) n;
INSERT INTO service_accounts (org, account_id, name, created_at)
    SELECT org, md5('a' || n)::uuid, 'a' || n, now() FROM orgs, generate_series(1, 1000) n;
INSERT INTO roles (org, role, permissions, created_at)
    SELECT org, 'r' || n, ARRAY['run:read'], now() FROM orgs, generate_series(1, 200) n;
INSERT INTO role_bindings
    (org, binding_id, principal_kind, principal_id, role, project, created_at)
    SELECT org, md5(kind || n)::uuid, kind,
           CASE kind WHEN 'group' THEN 'g' || n ELSE md5(left(kind, 1) || n)::uuid::text END,
           'r' || (n % 200 + 1), 'p' || n, now()
    FROM orgs, unnest(ARRAY['user', 'group', 'service_account']) kind, generate_series(1, 1000) n
    WHERE kind <> 'service_account' OR n <= 1000;
UPDATE role_bindings SET principal_id = md5('a' || substr(project, 2))::uuid::text
    WHERE principal_kind = 'service_account';
INSERT INTO api_keys (org, key_id, account_id, digest, created_at)
    SELECT org, md5(org || 'k' || n)::uuid, md5('a' || (n % 1000 + 1))::uuid, 'x', now()
    FROM orgs, generate_series(1, 5000) n;
ANALYZE members, role_bindings, roles, service_accounts, api_keys;
"""


@pytest.mark.parametrize("statistics", ["fresh", "none"])
async def test_grants_and_keys_are_read_by_index(
    test_database: DatabaseForTest, statistics: str
) -> None:
    owner = await asyncpg.connect(test_database.owner_url)
    fill = FILL if statistics == "fresh" else FILL.partition("ANALYZE")[0]
    await owner.execute(fill)
    user, account, key = [
        UUID(str(await owner.fetchval("SELECT md5($1)::uuid", name)))
        for name in ("u42", "a42", "acmek42")
    ]
    await owner.close()
    database = open_database(test_database.url)
    async with database.for_org(ORG) as tx:
        caller = await grants.resolve_caller(tx, subject_of_user(user))
        machine = await grants.resolve_caller(tx, subject_of_account(account))
        assert caller is not None
        assert machine is not None
        # The role in the org, a binding of their own, and one of the group g42.
        assert sorted(grant.project for grant in caller.grants) == ["", "p42", "p42"]
        assert [grant.project for grant in machine.grants] == ["p42"]
        for query, id_ in ((grants._OF_USER, user), (grants._OF_ACCOUNT, account)):
            values = {"org": ORG, "id": id_, "principal": str(id_)}
            pages = await count_pages(tx.connection, query, values)
            assert pages <= MOST_PAGES, query.text
    async with database.for_fleet("check a key") as fleet:
        pages = await count_pages(fleet.connection, accounts._CHECK, {"key_id": key, "now": NOW})
        assert pages <= MOST_PAGES
    await database.close()


async def count_pages(connection: Any, query: Any, values: dict[str, object]) -> int:
    explained = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.text}").bindparams(
        *query._bindparams.values()
    )
    plan = (await connection.execute(explained, values)).scalar_one()[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
