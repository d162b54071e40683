"""Finds and lists versions and names of artifacts, and what their partitions hold."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from controlplane.core.artifacts import (
    ArtifactGroup,
    ArtifactGroupPage,
    ArtifactName,
    ArtifactPage,
    ArtifactRow,
)
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Listing
from controlplane.store.artifact_tables import artifact_names, artifacts
from controlplane.store.database import OrgTx
from controlplane.store.resources.artifacts import parse_artifact
from controlplane.store.resources.filters import (
    Field,
    Fields,
    among,
    numbers,
    restrict,
    text_field,
    timestamp_field,
)
from controlplane.store.resources.pages import Key, page
from controlplane.store.statements import given, statement

_METADATA = "user_metadata."
_PARTITION = "partition."
_MOST_PARTITIONS = 100
_MOST_KEYS = 1_000
MOST_EXAMINED = 100_000
"""Newest versions that are looked at for what no index has: text of partitions, metadata, and the
newest version of each partition. A name may have a million."""

_SCHEMA_COLUMNS = """names.time_key AS schema_time_key, names.granularity AS schema_granularity,
       names.partition_keys AS schema_keys"""

# Newest versions of names, each with its name's count and what is in its newest time partition.
_GROUPS = statement(f"""
{given(project="text", domain="text", name="text")}
SELECT v.*, {_SCHEMA_COLUMNS}, names.versions, t.time_partition AS latest_time, p.found
FROM n
JOIN artifact_names names ON names.org = n.org AND names.project = n.project
  AND names.domain = n.domain AND names.name = n.name
CROSS JOIN LATERAL (
    SELECT * FROM artifacts v
    WHERE v.org = n.org AND v.project = n.project AND v.domain = n.domain AND v.name = n.name
    ORDER BY v.number DESC LIMIT 1
) v
LEFT JOIN LATERAL (
    SELECT t.time_partition FROM artifacts t
    WHERE t.org = n.org AND t.project = n.project AND t.domain = n.domain AND t.name = n.name
      AND t.time_partition IS NOT NULL
    ORDER BY t.time_partition DESC LIMIT 1
) t ON true
CROSS JOIN LATERAL (
    SELECT COALESCE(jsonb_agg(q.partitions ORDER BY q.partitions), '[]') AS found FROM (
        SELECT DISTINCT r.partitions FROM (
            SELECT r.partitions FROM artifacts r
            WHERE r.org = n.org AND r.project = n.project AND r.domain = n.domain
              AND r.name = n.name AND r.time_partition = t.time_partition
            ORDER BY r.number DESC LIMIT {_MOST_PARTITIONS}
        ) r
        WHERE r.partitions <> '{{}}'
    ) q
) p
""")

# Jumps from one time to the next by the index: a time with many versions costs one step.
_TIMES = statement("""
WITH RECURSIVE found AS (
    (SELECT time_partition, 1 AS n FROM artifacts
     WHERE org = :org AND project = :project AND domain = :domain AND name = :name
       AND time_partition IS NOT NULL
     ORDER BY time_partition LIMIT 1)
    UNION ALL
    SELECT t.time_partition, f.n + 1 FROM found f CROSS JOIN LATERAL (
        SELECT a.time_partition FROM artifacts a
        WHERE a.org = :org AND a.project = :project AND a.domain = :domain AND a.name = :name
          AND a.time_partition > f.time_partition
        ORDER BY a.time_partition LIMIT 1
    ) t
    WHERE f.n < :most
)
SELECT time_partition AS value FROM found ORDER BY time_partition
""")


async def find_artifact(tx: OrgTx, name: ArtifactName, version: str = "") -> ArtifactRow | None:
    """Return one version; the newest one without ``version``."""
    query = _within(tx, name.project, name.domain, name.name)
    if version:
        query = query.where(artifacts.c.version == version)
    query = query.order_by(artifacts.c.number.desc()).limit(1)
    row = (await tx.connection.execute(query)).first()
    return None if row is None else parse_artifact(row)


async def list_artifacts(
    tx: OrgTx,
    project: str,
    domain: str,
    name: str | None,
    listing: Listing,
    *,
    latest_per_partition: bool = False,
) -> ArtifactPage:
    """
    List versions, newest first by default.

    ``latest_per_partition``: of those that pass the filters, the newest of each partition of each
    name. With it, and for filters by metadata or text of partitions, the newest ``MOST_EXAMINED``
    versions are looked at.
    """
    is_bounded = latest_per_partition or any(_is_unindexed(each) for each in listing.filters)
    source: Any = _newest(tx, project, domain, name) if is_bounded else artifacts
    columns: Any = source.c
    query = _within(tx, project, domain, name, source)
    if latest_per_partition:
        partition = (columns.name, columns.partitions, columns.time_partition)
        latest = (
            restrict(query, _fields_of(columns), listing.filters)
            .ext(distinct_on(*partition))
            .order_by(*partition, columns.number.desc())
            .subquery("latest")
        )
        columns, query = latest.c, select(latest)
        listing = Listing(orders=listing.orders, limit=listing.limit, token=listing.token)
    newest = [Key(numbers(columns.number), ascending=False)]  # unique within a name
    if name is None:
        newest = [
            Key(timestamp_field(columns.created_at), ascending=False),
            Key(text_field(columns.name)),
            *newest,
        ]
    rows, token = await page(tx, query, _fields_of(columns), listing, newest)
    return ArtifactPage([parse_artifact(row) for row in rows], token)


async def list_groups(tx: OrgTx, project: str, domain: str, listing: Listing) -> ArtifactGroupPage:
    """List the names that have versions, by the time of their newest one."""
    names = artifact_names.c
    query = select(names.name).where(
        names.org == tx.org, names.project == project, names.domain == domain, names.versions > 0
    )
    fields = among({
        "name": text_field(names.name),
        "created_at": timestamp_field(names.latest_at),
    })  # fmt: skip
    newest = (Key(timestamp_field(names.latest_at), ascending=False), Key(text_field(names.name)))
    rows, token = await page(tx, query, fields, listing, newest)
    order = [row.name for row in rows]
    scope = {"project": [project] * len(order), "domain": [domain] * len(order)}
    found = {
        row.name: ArtifactGroup(
            latest=parse_artifact(row),
            versions=row.versions,
            latest_time=row.latest_time,
            partitions=row.found,
        )
        for row in (await tx.rows(_GROUPS, {**scope, "name": order}) if order else [])
    }
    # A name whose last version was deleted in between is left out.
    return ArtifactGroupPage([found[name] for name in order if name in found], token)


async def list_partition_values(
    tx: OrgTx, name: ArtifactName, key: str, filters: Sequence[Filter], *, is_time: bool, most: int
) -> Sequence[str]:
    """
    List the distinct values of one partition key, sorted; times as RFC 3339 in UTC.

    Of text, and with filters, those of the newest ``MOST_EXAMINED`` versions.
    """
    if is_time and not filters:
        times = await tx.rows(
            _TIMES,
            {
                "project": name.project,
                "domain": name.domain,
                "name": name.name,
                "most": most,
            },
        )
        return [_render_time(row.value) for row in times]
    source = _newest(tx, name.project, name.domain, name.name)
    value: ColumnElement[Any] = (
        source.c.time_partition if is_time else source.c.partitions[key].astext
    )
    query = select(value.label("value")).where(value.is_not(None))
    distinct = restrict(query, _fields_of(source.c), filters).distinct().subquery("found")
    rows = await tx.connection.execute(
        select(distinct.c.value).order_by(distinct.c.value).limit(most)
    )
    return [_render_time(row.value) if is_time else row.value for row in rows]


async def list_metadata_keys(
    tx: OrgTx, project: str, domain: str, name: str | None
) -> Sequence[str]:
    """
    List the distinct keys of the metadata of a project and domain, or of one name: of its newest
    ``MOST_EXAMINED`` versions.
    """
    source = _newest(tx, project, domain, name)
    key = func.jsonb_object_keys(source.c.user_metadata).label("key")
    rows = await tx.connection.execute(select(key).distinct().order_by(key).limit(_MOST_KEYS))
    return [str(row.key) for row in rows]


def _render_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _is_unindexed(asked: Filter) -> bool:
    return asked.field.startswith((_METADATA, _PARTITION))


def _newest(tx: OrgTx, project: str, domain: str, name: str | None) -> Subquery:
    """Return the newest versions of a project and domain, or of one name, in the order of an index."""
    columns = artifacts.c
    query = select(artifacts).where(
        columns.org == tx.org, columns.project == project, columns.domain == domain
    )
    if name is None:
        query = query.order_by(columns.created_at.desc(), columns.name, columns.number.desc())
    else:
        query = query.where(columns.name == name).order_by(columns.number.desc())
    return query.limit(MOST_EXAMINED).subquery("newest")


def _within(
    tx: OrgTx, project: str, domain: str, name: str | None, source: Any = artifacts
) -> Select[Any]:
    """Return the query of the versions in ``source``, with the schemas of their names."""
    names = artifact_names.c
    joined = source.join(
        artifact_names,
        and_(*(source.c[each] == names[each] for each in ("org", "project", "domain", "name"))),
    )
    query = (
        select(
            source,
            names.time_key.label("schema_time_key"),
            names.granularity.label("schema_granularity"),
            names.partition_keys.label("schema_keys"),
        )
        .select_from(joined)
        .where(
            source.c.org == tx.org,
            source.c.project == project,
            source.c.domain == domain,
        )
    )
    return query if name is None else query.where(source.c.name == name)


def _fields_of(columns: Any) -> Fields:
    fields: Mapping[str, Field] = {
        "name": text_field(columns.name),
        "version": text_field(columns.version),
        "created_at": timestamp_field(columns.created_at),
        "time_partition": timestamp_field(columns.time_partition),
        "source_run": text_field(columns.source_run),
        "source_action": text_field(columns.source_action),
        "source_external_ref": text_field(columns.external_ref),
    }

    def find(name: str) -> Field:
        for prefix, column in ((_METADATA, "user_metadata"), (_PARTITION, "partitions")):
            if name.startswith(prefix) and name != prefix:
                return text_field(columns[column][name.removeprefix(prefix)].astext)
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise InvalidError(
                f"unknown field {name!r}; known are {known}, {_METADATA}<key> and {_PARTITION}<key>"
            )
        return fields[name]

    return find
