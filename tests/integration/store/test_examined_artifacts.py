"""
Tests that the statements of artifacts examine rows in proportion to their set: 250 and 1,000
versions of 50 names, with 20,000 other versions of each of two names.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from controlplane.core.artifacts import (
    ArtifactKey,
    ArtifactName,
    NewArtifact,
    Partition,
    PartitionSchema,
)
from controlplane.core.lists import Filter, Listing, Test as How
from controlplane.store.database import open_database
from controlplane.store.dispatch.artifact_registrations import enqueue_registrations
from controlplane.store.resources import artifact_lists, artifacts
from shared.model.ids import ActionId, AttemptId, DomainName, ProjectName
from tests.factories import NOW, ORG
from tests.integration.store.conftest import Store
from tests.integration.store.examined import (
    Examined,
    examining,
    explain_everything,
    set_statements,
)
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
NAMES = 50
A_ROW = 60
"""Rows that a statement may examine for each version of its set, as in test_examined.py."""

OF_ARTIFACTS = {
    "artifact_firings._ENQUEUE",
    "artifact_lists._GROUPS",
    "artifact_registrations._ENQUEUE",
    "artifacts._DIGESTS",
    "artifacts._INSERT",
    "artifacts._LOCK_NAMES",
}

OTHER_VERSIONS = """
INSERT INTO artifact_names (org, project, domain, name, versions, last_number, latest_at)
    SELECT 'acme', 'p', 'development', name, 20000, 20000, '2020-01-01'
    FROM unnest(ARRAY['large', 'other']) name;
INSERT INTO artifacts (org, project, domain, name, version, number, spec, digest, partitions,
                       time_partition, time_key, granularity, created_at)
    SELECT 'acme', 'p', 'development', name, 'v' || n, n, '', '', jsonb_build_object('region', n % 7),
           date_trunc('day', now()) + n % 365 * interval '1 day', 'date', 3, '2020-01-01'
    FROM unnest(ARRAY['large', 'other']) name, generate_series(1, 20000) n;
INSERT INTO triggers (org, project, domain, task_name, name, revision, action, task_version, spec,
                      automation, automation_type, active, input_uri, description, origin,
                      deployed_by, updated_by, deployed_at, updated_at, artifact)
    SELECT 'acme', 'p', 'development', 'env.t' || n, 'n', 1, 1, 'v1', '', '', 3, true, '', '', 0, 'ada',
           'ada', now(), now(), CASE WHEN n <= 50 THEN 'n' || n - 1 ELSE 'large' END
    FROM generate_series(1, 20000) n
"""


def name_of(number: int) -> ArtifactName:
    return ArtifactName(ProjectName("p"), DomainName("development"), f"n{number}")


class OfLists(dict[str, str]):
    """Names of statements; a list that is built has its text as its name."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, key if " newest" in key else default)


@pytest.fixture(params=["analysed", "never"])
async def measured(
    request: pytest.FixtureRequest,
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> AsyncIterator[tuple[Store, Examined]]:
    del store  # its org
    await explain_everything(postgres_server.superuser_url, test_database.name)
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("artifact_names", "artifacts", "triggers"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await owner.execute(OTHER_VERSIONS)
    if request.param == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1)
    with examining(database, Examined(_names=OfLists(set_statements()))) as seen:
        yield Store(database, test_database.url), seen
    await database.close()


@pytest.mark.parametrize("size", [250, 1_000])
async def test_statement_on_artifacts_examines_rows_in_proportion_to_them(
    measured: tuple[Store, Examined], size: int
) -> None:
    store, seen = measured
    new = [
        NewArtifact(
            key=ArtifactKey(name_of(number % NAMES), f"v{number}"),
            spec=b"",
            digest=b"d",
            partition=Partition(values={"region": str(number)}),
        )
        for number in range(size)
    ]
    async with store.database.for_org(ORG) as tx:
        await tx.plan_for(size)
        schemas = {each.key.name: PartitionSchema(keys=("region",)) for each in new}
        locked = await artifacts.lock_names(tx, schemas, NOW)
        await artifacts.insert_artifacts(tx, [(each, "ada") for each in new], locked, NOW)
        digests = await artifacts.find_digests(tx, [each.key for each in new])
        await enqueue_registrations(
            tx, [(AttemptId(ActionId(UUID(int=each)), 1), "") for each in range(size)], NOW
        )
        page = await artifact_lists.list_groups(tx, "p", "development", Listing(limit=200))

        queued = await tx.rows(text("SELECT count(*) AS found FROM artifact_firings"))

    assert len(digests) == queued[0].found == size
    groups = {group.latest.key.name.name: group for group in page.rows}
    assert len(groups) == NAMES + 2
    assert groups["n0"].latest.key.version == f"v{size - NAMES}"
    assert groups["n0"].versions == size // NAMES
    assert groups["large"].latest.key.version == "v20000"
    assert set(seen.rows) >= OF_ARTIFACTS, sorted(OF_ARTIFACTS - set(seen.rows))
    # Neither of the two large names is read; of their newest time partition, 55 versions are.
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_ARTIFACTS
        if seen.rows[name] > A_ROW * size
    ]
    assert not too_many, "\n\n".join(too_many)


async def test_list_of_versions_by_what_no_index_has_examines_a_bounded_number_of_them(
    measured: tuple[Store, Examined], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may have a million versions; of 20,000, the newest 1,000 are looked at here."""
    store, seen = measured
    monkeypatch.setattr(artifact_lists, "MOST_EXAMINED", 1_000)
    by_region = Listing(filters=[Filter("partition.region", How.EQUAL, ["3"])], limit=100)
    large = ArtifactName(ProjectName("p"), DomainName("development"), "large")

    async with store.database.for_org(ORG) as tx:
        scope = (tx, "p", "development")
        filtered = await artifact_lists.list_artifacts(*scope, "large", by_region)
        latest = await artifact_lists.list_artifacts(
            *scope, "large", Listing(limit=200), latest_per_partition=True
        )
        await artifact_lists.list_metadata_keys(*scope, None)
        regions = await artifact_lists.list_partition_values(
            tx, large, "region", (), is_time=False, most=1_000
        )
        times = await artifact_lists.list_partition_values(
            tx, large, "date", (), is_time=True, most=1_000
        )

    assert len(filtered.rows) == 100
    assert {str(row.partition.values["region"]) for row in filtered.rows} == {"3"}
    assert len(latest.rows) == 200
    assert regions == [str(number) for number in range(7)]
    assert (len(times), times) == (365, sorted(times))
    # Each of them in at most ten steps of a plan.
    too_many = {name: rows for name, rows in seen.rows.items() if rows > 10 * 1_000}
    assert not too_many, [seen.plans[name] for name in too_many]
