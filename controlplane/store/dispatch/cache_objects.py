"""Finds, puts and deletes single entries of the result cache, for clients of CacheService."""

from datetime import datetime, timedelta

from sqlalchemy import Row

from controlplane.core.caching import CacheEntry, CachePlace, CacheSource
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_key
from controlplane.store.statements import statement

_OF = "org = :org AND key = :key AND project = :project AND domain = :domain"

_FIND = statement(f"""
SELECT project, domain, run, action AS name, attempt, task_name, output_uri, created_at, hit_at
FROM cache_entries WHERE {_OF}
""")

_PUT = statement("""
INSERT INTO cache_entries (org, key, project, domain, task_name, output_uri, created_at, hit_at,
                           replaces_before)
VALUES (:org, :key, :project, :domain, :task_name, :output_uri, :now, :now, :now)
ON CONFLICT (org, key, project, domain) DO UPDATE
SET action_id = NULL, attempt = 0, run = '', action = '', task_name = EXCLUDED.task_name,
    output_uri = EXCLUDED.output_uri, created_at = EXCLUDED.created_at,
    hit_at = EXCLUDED.hit_at, replaces_before = EXCLUDED.replaces_before
WHERE :overwrite OR cache_entries.created_at < :oldest_at
RETURNING 1
""")

_DELETE = statement(f"DELETE FROM cache_entries WHERE {_OF} RETURNING 1")


async def find_entry(tx: OrgTx, place: CachePlace) -> CacheEntry | None:
    rows = await tx.rows(_FIND, _values(place))
    return _parse(rows[0]) if rows else None


async def put_entry(
    tx: OrgTx,
    place: CachePlace,
    *,
    output_uri: str,
    task_name: str,
    overwrite: bool,
    max_age: timedelta | None,
    now: datetime,
) -> bool:
    """Store an entry; False if there is one, unless it is older than ``max_age``, or overwritten."""
    values = {
        "task_name": task_name,
        "output_uri": output_uri,
        "overwrite": overwrite,
        "oldest_at": None if max_age is None else now - max_age,
        "now": now,
    }
    return bool(await tx.rows(_PUT, {**_values(place), **values}))


async def delete_entry(tx: OrgTx, place: CachePlace) -> bool:
    """Delete an entry; False if there is none."""
    return bool(await tx.rows(_DELETE, _values(place)))


def _values(place: CachePlace) -> dict[str, object]:
    return {"key": place.key, "project": place.project, "domain": place.domain}


def _parse(row: Row[tuple[object, ...]]) -> CacheEntry:
    return CacheEntry(
        source=CacheSource(action=parse_key(row), attempt=row.attempt),
        task_name=row.task_name,
        output_uri=row.output_uri,
        created_at=row.created_at,
        hit_at=row.hit_at,
    )
