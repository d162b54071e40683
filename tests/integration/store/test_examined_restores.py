"""Tests that what is done after a restore examines rows in proportion to an agent's leases."""

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.restores import FindingKind
from controlplane.store.database import open_database
from controlplane.store.dispatch import restores
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, AttemptId, LeaseId
from tests.factories import NOW, ORG, make_new_run
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.examined import examining, explain_everything
from tests.integration.store.wide import add_children
from tests.servers.postgres import DatabaseForTest, PostgresForTests

WAITING, LEASES = 20_000, 100
A_ROW = 60
"""Rows that a statement may examine for each row of its set, as in test_examined.py."""
OF_RESTORES = {"restores._ADOPT", "restores._FOUND", "restores._RELEASE"}


@pytest.mark.parametrize("statistics", ["analysed", "never"])
async def test_leases_of_a_restored_cluster_examine_rows_in_proportion_to_them(
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
    statistics: str,
) -> None:
    await explain_everything(postgres_server.superuser_url, test_database.name)
    await add_children(store.database, await store.create(make_new_run("wide")), WAITING)
    owner = await asyncpg.connect(test_database.owner_url)
    await owner.execute("UPDATE clusters SET restored_at = now()")
    if statistics == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1, fleet_pool_size=1)
    with examining(database) as seen:
        async with database.for_org(ORG) as tx:
            rows = await tx.rows(
                text("SELECT action_id FROM dispatches ORDER BY action_id LIMIT :most"),
                {"most": LEASES},
            )
            leases = [
                (AttemptId(ActionId(row.action_id), 1), LeaseId(new_uuid(NOW))) for row in rows
            ]
            assert len(await restores.adopt(tx, CLUSTER, leases, NOW)) == LEASES
            await restores.record_findings(tx, CLUSTER, FindingKind.ADOPTED, leases, NOW)
            assert await restores.release(tx, [CLUSTER]) == [CLUSTER]
    await database.close()

    assert set(seen.rows) >= OF_RESTORES, sorted(OF_RESTORES - set(seen.rows))
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_RESTORES
        if seen.rows[name] > A_ROW * LEASES
    ]
    assert not too_many, "\n\n".join(too_many)
