"""
Stores, finds and deletes versions of artifacts, and the partition keys of their names.

A transaction that adds or deletes a version locks the row of its name first, in the order of names.
``artifact_lists`` lists them.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.core.artifacts import (
    ArtifactKey,
    ArtifactName,
    ArtifactRow,
    DeclaredSchema,
    Granularity,
    NewArtifact,
    Partition,
    PartitionSchema,
)
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.artifact_firings import enqueue_firings
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from shared.model.ids import ActionKey, DomainName, ProjectName

_NAME = {"project": "text", "domain": "text", "name": "text"}

# A name that exists is written as it is, which locks it: it may be deleted at any other time.
_LOCK_NAMES = statement(f"""
{given(**_NAME, time_key="text", granularity="smallint", partition_keys="jsonb", declared="boolean")}
INSERT INTO artifact_names AS a (org, project, domain, name, time_key, granularity, partition_keys,
                                 declared, latest_at)
SELECT n.org, n.project, n.domain, n.name, n.time_key, n.granularity, n.partition_keys, n.declared,
       :now
FROM n ORDER BY n.project, n.domain, n.name
ON CONFLICT (org, project, domain, name) DO UPDATE SET declared = a.declared
RETURNING a.project, a.domain, a.name, a.time_key, a.granularity, a.partition_keys, a.declared,
          a.versions, a.last_number, a.latest_at
""")

_DIGESTS = statement(f"""
{given(**_NAME, version="text")}
SELECT a.project, a.domain, a.name, a.version, a.digest
FROM n CROSS JOIN LATERAL (
    SELECT * FROM artifacts a
    WHERE a.org = n.org AND a.project = n.project AND a.domain = n.domain AND a.name = n.name
      AND a.version = n.version
    LIMIT 1
) a
""")

_INSERT = statement(f"""
{given(
    **_NAME, version="text", number="bigint", spec="bytea", digest="bytea", partitions="jsonb",
    time_partition="timestamptz", time_key="text", granularity="smallint", user_metadata="jsonb",
    source_run="text", source_action="text", external_ref="text", created_by="text",
    created_at_="timestamptz",
)}, inserted AS (
    INSERT INTO artifacts (org, project, domain, name, version, number, spec, digest, partitions,
                           time_partition, time_key, granularity, user_metadata, source_run,
                           source_action, external_ref, created_by, created_at)
    SELECT n.org, n.project, n.domain, n.name, n.version, n.number, n.spec, n.digest, n.partitions,
           n.time_partition, n.time_key, n.granularity, n.user_metadata, n.source_run,
           n.source_action, n.external_ref, n.created_by, n.created_at
    FROM n
    RETURNING org, project, domain, name, number, created_at
)
UPDATE artifact_names a
SET versions = a.versions + i.count, last_number = i.last, latest_at = i.latest_at
FROM (
    SELECT org, project, domain, name, count(*) AS count, max(number) AS last,
           max(created_at) AS latest_at
    FROM inserted GROUP BY org, project, domain, name
) i
WHERE a.org = i.org AND a.project = i.project AND a.domain = i.domain AND a.name = i.name
""")  # fmt: skip

_COUNT_NAMES = statement("""
SELECT count(*) AS found FROM (
    SELECT 1 FROM artifact_names
    WHERE org = :org AND project = :project AND domain = :domain LIMIT :most
) a
""")

_SCHEMA = statement("""
SELECT time_key, granularity, partition_keys, declared FROM artifact_names
WHERE org = :org AND project = :project AND domain = :domain AND name = :name
""")

_LOCK_NAME = statement("""
SELECT 1 FROM artifact_names
WHERE org = :org AND project = :project AND domain = :domain AND name = :name FOR UPDATE
""")

_DELETE = statement("""
DELETE FROM artifacts
WHERE org = :org AND project = :project AND domain = :domain AND name = :name
  AND version = :version
RETURNING 1
""")

_COUNT_DELETED = statement("""
UPDATE artifact_names a
SET versions = a.versions - 1,
    latest_at = COALESCE((
        SELECT created_at FROM artifacts v
        WHERE v.org = a.org AND v.project = a.project AND v.domain = a.domain AND v.name = a.name
        ORDER BY v.number DESC LIMIT 1
    ), a.latest_at)
WHERE a.org = :org AND a.project = :project AND a.domain = :domain AND a.name = :name
""")

_DELETE_NAME = statement("""
DELETE FROM artifact_names
WHERE org = :org AND project = :project AND domain = :domain AND name = :name
  AND versions = 0 AND NOT declared
""")

_ATTEMPTS = statement("""
SELECT a.attempts FROM runs r JOIN actions a ON a.org = r.org AND a.run_id = r.run_id
WHERE r.org = :org AND r.project = :project AND r.domain = :domain AND r.run = :run
  AND a.name = :action AND r.purging_since IS NULL
FOR KEY SHARE OF r
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedName:
    """The row of a name, which this transaction holds."""

    schema: DeclaredSchema
    versions: int
    last_number: int
    latest_at: datetime


async def lock_names(
    tx: OrgTx,
    names: Mapping[ArtifactName, PartitionSchema],
    now: datetime,
    *,
    declared: bool = False,
) -> Mapping[ArtifactName, LockedName]:
    """Lock these names until the transaction ends; those that do not exist get the schema."""
    rows = await tx.rows(
        _LOCK_NAMES,
        {
            **_arrays(names),
            "time_key": [each.time_key for each in names.values()],
            "granularity": [each.granularity.value for each in names.values()],
            "partition_keys": [json.dumps(list(each.keys)) for each in names.values()],
            "declared": [declared] * len(names),
            "now": now,
        },
    )
    return {
        _parse_name(row): LockedName(
            schema=_parse_declared(row),
            versions=row.versions,
            last_number=row.last_number,
            latest_at=row.latest_at,
        )
        for row in rows
    }


async def find_digests(tx: OrgTx, keys: Collection[ArtifactKey]) -> Mapping[ArtifactKey, bytes]:
    """Return the digests of those of these versions that exist."""
    rows = await tx.rows(
        _DIGESTS,
        {**_arrays([key.name for key in keys]), "version": [key.version for key in keys]},
    )
    return {ArtifactKey(_parse_name(row), row.version): bytes(row.digest) for row in rows}


async def insert_artifacts(
    tx: OrgTx,
    new: Sequence[tuple[NewArtifact, str]],
    names: Mapping[ArtifactName, LockedName],
    now: datetime,
) -> None:
    """Insert versions that do not exist, with their creators, of names that are locked."""
    if not new:
        return
    seen: Counter[ArtifactName] = Counter()
    numbers: list[int] = []
    for each, _ in new:
        seen[each.key.name] += 1
        numbers.append(names[each.key.name].last_number + seen[each.key.name])
    versions = [each for each, _ in new]
    partitions = [each.partition for each in versions]
    await tx.execute(
        _INSERT,
        {
            **_arrays([each.key.name for each in versions]),
            "version": [each.key.version for each in versions],
            "number": numbers,
            "spec": [each.spec for each in versions],
            "digest": [each.digest for each in versions],
            "partitions": [json.dumps(each.values) for each in partitions],
            "time_partition": [each.time for each in partitions],
            "time_key": [each.time_key for each in partitions],
            "granularity": [each.granularity.value for each in partitions],
            "user_metadata": [json.dumps(dict(each.metadata)) for each in versions],
            "source_run": [
                "" if each.source is None else each.source.action.run.name for each in versions
            ],
            "source_action": [
                "" if each.source is None else each.source.action.name for each in versions
            ],
            "external_ref": [each.external_ref for each in versions],
            "created_by": [by for _, by in new],
            # Never before that of the version that was the newest, whatever the replica's clock.
            "created_at_": [max(now, names[each.key.name].latest_at) for each in versions],
        },
    )
    await enqueue_firings(tx, versions, now)


async def count_names(tx: OrgTx, project: str, domain: str, *, most: int) -> int:
    """Count the names of a project and domain, up to ``most``."""
    rows = await tx.rows(_COUNT_NAMES, {"project": project, "domain": domain, "most": most})
    return int(rows[0].found)


async def find_schema(tx: OrgTx, name: ArtifactName) -> DeclaredSchema | None:
    rows = await tx.rows(_SCHEMA, _key(name))
    return _parse_declared(rows[0]) if rows else None


async def delete_artifact(tx: OrgTx, key: ArtifactKey) -> bool:
    """Delete a version, and its name with the last one unless it is declared; False if there is none."""
    await tx.execute(_LOCK_NAME, _key(key.name))
    if not await tx.rows(_DELETE, {**_key(key.name), "version": key.version}):
        return False
    await tx.execute(_COUNT_DELETED, _key(key.name))
    await tx.execute(_DELETE_NAME, _key(key.name))
    return True


async def find_attempts(tx: OrgTx, action: ActionKey) -> int | None:
    """Return how many attempts an action has had, and hold its run; None if it does not exist."""
    run = action.run
    rows = await tx.rows(
        _ATTEMPTS,
        {"project": run.project, "domain": run.domain, "run": run.name, "action": action.name},
    )
    return int(rows[0].attempts) if rows else None


def parse_artifact(row: Any) -> ArtifactRow:
    """Parse a row of ``artifacts`` that is joined with its name's schema."""
    return ArtifactRow(
        key=ArtifactKey(_parse_name(row), row.version),
        spec=bytes(row.spec),
        digest=bytes(row.digest),
        created_at=row.created_at,
        created_by=row.created_by,
        partition=Partition(
            values=row.partitions,
            time=row.time_partition,
            time_key=row.time_key,
            granularity=parse_enum(row.granularity, Granularity.UNKNOWN),
        ),
        schema=PartitionSchema(
            time_key=row.schema_time_key,
            granularity=parse_enum(row.schema_granularity, Granularity.UNKNOWN),
            keys=tuple(row.schema_keys),
        ),
    )


def _parse_declared(row: Any) -> DeclaredSchema:
    return DeclaredSchema(
        schema=PartitionSchema(
            time_key=row.time_key,
            granularity=parse_enum(row.granularity, Granularity.UNKNOWN),
            keys=tuple(row.partition_keys),
        ),
        declared=row.declared,
    )


def _parse_name(row: Any) -> ArtifactName:
    return ArtifactName(ProjectName(row.project), DomainName(row.domain), row.name)


def _key(name: ArtifactName) -> dict[str, object]:
    return {"project": name.project, "domain": name.domain, "name": name.name}


def _arrays(names: Collection[ArtifactName]) -> dict[str, object]:
    return {
        "project": [each.project for each in names],
        "domain": [each.domain for each in names],
        "name": [each.name for each in names],
    }
