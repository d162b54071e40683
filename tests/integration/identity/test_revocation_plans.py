"""A page of revoked logins reads its own rows, however many logins and people the org has."""

import asyncpg
import pytest

from controlplane.core.identity_providers import INSTALLATION
from controlplane.store.credentials import token_families
from controlplane.store.database import open_database
from tests.factories import NOW, ORG
from tests.integration.identity.test_plans import count_pages
from tests.servers.postgres import DatabaseForTest

PAGE = 200
MOST_PAGES_A_ROW = 30
"""An update of a login writes its row, and an entry in each of its four indexes."""

# 20,000 logins in each of two orgs, half of them revoked; 2,000 people logged in at a provider of acme.
FILL = """
INSERT INTO orgs (org, created_at) VALUES ('acme', now()), ('other', now());
INSERT INTO users (user_id, created_at)
    SELECT md5('u' || n)::uuid, now() FROM generate_series(1, 2000) n;
INSERT INTO provider_logins (user_id, provider_id, org, checked_at, confirmed_at, seen_at)
    SELECT user_id, '00000000-0000-0000-0000-000000000000', 'acme', now(), now(), now() FROM users;
INSERT INTO token_families
    (family_id, org, subject, client_id, created_at, used_at, expires_at, revoked_at)
    SELECT md5(org || n)::uuid, org, 'user:' || md5('u' || n % 4000)::uuid, 'flyte', now(), now(),
           '2100-01-01', CASE WHEN n % 2 = 0 THEN now() END
    FROM orgs, generate_series(1, 20000) n;
ANALYZE users, provider_logins, token_families;
"""


@pytest.mark.parametrize("statistics", ["fresh", "none"])
async def test_page_of_revoked_logins_reads_its_own_rows(
    test_database: DatabaseForTest, statistics: str
) -> None:
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("provider_logins", "token_families"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await owner.execute(FILL if statistics == "fresh" else FILL.partition("ANALYZE")[0])
    await owner.close()
    database = open_database(test_database.url)
    values = {"org": ORG, "because": "test", "now": NOW, "most": PAGE}
    async with database.for_fleet("revoke logins") as fleet:
        pages = await count_pages(fleet.connection, token_families._REVOKE_OTHERS, values)
        assert pages <= PAGE * MOST_PAGES_A_ROW
        of_provider = {**values, "provider_id": INSTALLATION}
        pages = await count_pages(fleet.connection, token_families._REVOKE_AT, of_provider)
        # Each page looks for the logins of all people of the provider: ten thousand at most.
        assert pages <= PAGE * MOST_PAGES_A_ROW + 2_000 * 12
        revoked = await token_families.revoke_of_other_providers(fleet, ORG, "test", NOW, most=PAGE)
        assert revoked == PAGE
    await database.close()
