"""
Looks actions up in the result cache, and stores the outputs of those that succeed.

An entry is found in the transaction that creates the action, and stored in the transaction of
the report that it succeeded. An entry older than an action was not used by it (it was too old, its
outputs were gone, or the store did not answer), so the action's outputs replace it; a younger one
stays: of equal actions that run at the same time the first stores. Entries are locked last.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.caching import (
    CLOCK_SKEW,
    STORED_FROM,
    TOUCH_INTERVAL,
    CacheCheck,
    CacheEntry,
    CacheRequest,
    CacheResult,
    CacheSource,
    CacheStatus,
)
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_key
from controlplane.store.statements import given, only_one, statement
from shared.model.ids import ActionId, AttemptId, RunKey

_COLUMNS = (
    "e.project, e.domain, e.run, e.action AS name, e.attempt, e.output_uri, e.created_at, e.hit_at"
)

_ASKED = {
    "id": "uuid",
    "key": "text",
    "project": "text",
    "domain": "text",
    "run": "text",
    "oldest_at_": "timestamptz",
    "output_uri": "text",
    "checked_at_": "timestamptz",
}

# Of a run's scopes "project/" stands for all domains of the project; NULL for the whole org.
_FIND = f"""
SELECT n.id, x.cache_overwrite AS overwrite, {_COLUMNS}
FROM n {{settings}}
LEFT JOIN LATERAL (
    SELECT * FROM cache_entries e
    WHERE e.org = n.org AND e.key = n.key
      AND ((e.project = n.project AND e.domain = n.domain) OR x.cache_scopes IS NULL
           OR jsonb_exists_any(x.cache_scopes, ARRAY[e.project || '/', e.project || '/' || e.domain]))
      AND (n.oldest_at IS NULL OR e.created_at >= n.oldest_at)
      AND (n.checked_at IS NULL OR e.created_at >= n.checked_at OR e.output_uri = n.output_uri)
    ORDER BY e.created_at DESC, e.project, e.domain LIMIT 1
) e ON NOT x.cache_overwrite
"""
_FIND_FOR_CHILDREN = statement(
    given(**_ASKED)
    + _FIND.format(
        settings=f"""CROSS JOIN LATERAL (
    SELECT r.cache_scopes, r.cache_overwrite FROM runs r
    WHERE r.org = n.org AND r.project = n.project AND r.domain = n.domain
      AND {only_one("r.run", "n.run")}
) x"""
    )
)
_FIND_FOR_ROOTS = statement(
    given(**_ASKED, scopes="jsonb", overwrite="boolean")
    + _FIND.format(
        settings="CROSS JOIN LATERAL"
        " (SELECT n.scopes AS cache_scopes, n.overwrite AS cache_overwrite) x"
    )
)

_TOUCH = statement(f"""
{given(key="text", project="text", domain="text")}
UPDATE cache_entries e SET hit_at = :now
FROM (
    SELECT e.org, e.key, e.project, e.domain FROM n JOIN cache_entries e
      ON e.org = n.org AND e.key = n.key AND e.project = n.project AND e.domain = n.domain
    ORDER BY e.key, e.project, e.domain FOR UPDATE OF e SKIP LOCKED
) f
WHERE e.org = f.org AND e.key = f.key AND e.project = f.project AND e.domain = f.domain
""")

_DELETE = statement(f"""
{given(key="text", output_uri="text")}
DELETE FROM cache_entries e USING n
WHERE e.org = n.org AND e.key = n.key AND e.output_uri = n.output_uri
""")

_STORE = statement(f"""
{given(id="uuid", attempt="integer", output_uri="text", overwrites="boolean")}, found AS MATERIALIZED (
    SELECT DISTINCT ON (a.cache_key, r.project, r.domain)
           n.org, a.cache_key AS key, r.project, r.domain, a.id, n.attempt, r.run, a.name,
           a.task_name, n.output_uri,
           CASE WHEN n.overwrites THEN :later_at ELSE a.created_at END AS replaces_before
    FROM n
    CROSS JOIN LATERAL (SELECT * FROM actions a WHERE a.org = n.org AND a.id = n.id LIMIT 1) a
    CROSS JOIN LATERAL (
        SELECT * FROM runs r WHERE r.org = a.org AND r.run_id = a.run_id LIMIT 1
    ) r
    WHERE a.cache_key <> ''
    ORDER BY a.cache_key, r.project, r.domain, n.overwrites DESC, a.id
), stored AS (
    INSERT INTO cache_entries (org, key, project, domain, action_id, attempt, run, action,
                               task_name, output_uri, created_at, hit_at, replaces_before)
    SELECT f.org, f.key, f.project, f.domain, f.id, f.attempt, f.run, f.name,
           f.task_name, f.output_uri, :now, :now, f.replaces_before
    FROM found f ORDER BY f.key, f.project, f.domain
    ON CONFLICT (org, key, project, domain) DO UPDATE
    SET action_id = EXCLUDED.action_id, attempt = EXCLUDED.attempt, run = EXCLUDED.run,
        action = EXCLUDED.action, task_name = EXCLUDED.task_name,
        output_uri = EXCLUDED.output_uri, created_at = EXCLUDED.created_at,
        hit_at = EXCLUDED.hit_at, replaces_before = EXCLUDED.replaces_before
    WHERE cache_entries.created_at < EXCLUDED.replaces_before
    RETURNING org, action_id
)
UPDATE actions a SET cache_status = {CacheStatus.POPULATED.value}
FROM stored s WHERE a.org = s.org AND a.id = s.action_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """An action to look up in the cache, in its run's project and domain and where that may read."""

    id: ActionId
    run: RunKey
    request: CacheRequest
    check: CacheCheck | None = None  # None: its outputs are not checked


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSettings:
    """The settings of a run that does not exist yet; otherwise they are read from its row."""

    scopes: Collection[str] | None
    overwrites: bool


async def find_entries(
    tx: OrgTx, lookups: Sequence[Lookup], now: datetime, *, root: RootSettings | None = None
) -> Mapping[ActionId, CacheResult]:
    """
    Look these actions up; the newest entry that is young enough and readable is a HIT.

    ``root``: the settings of their run, if it has no row yet.
    """
    if not lookups:
        return {}
    checks = [each.check or CacheCheck() for each in lookups]
    values: dict[str, object] = {
        "id": [each.id for each in lookups],
        "key": [each.request.key for each in lookups],
        "project": [each.run.project for each in lookups],
        "domain": [each.run.domain for each in lookups],
        "run": [each.run.name for each in lookups],
        "oldest_at_": [each.request.oldest(now) for each in lookups],
        "output_uri": [check.output_uri for check in checks],
        "checked_at_": [check.checked_at for check in checks],
    }
    if root is None:
        rows = await tx.rows(_FIND_FOR_CHILDREN, values)
    else:
        scopes = None if root.scopes is None else json.dumps(sorted(root.scopes))
        values["scopes"] = [scopes] * len(lookups)
        values["overwrite"] = [root.overwrites] * len(lookups)
        rows = await tx.rows(_FIND_FOR_ROOTS, values)
    failed = {each.id for each in lookups if each.check and each.check.failed}
    return {ActionId(row.id): _parse_result(row, failed) for row in rows}


def _parse_result(row: Row[tuple[object, ...]], failed: Collection[ActionId]) -> CacheResult:
    if row.overwrite:
        return CacheResult(status=CacheStatus.SKIPPED)
    if row.output_uri is None:
        missed = CacheStatus.LOOKUP_FAILURE if row.id in failed else CacheStatus.MISS
        return CacheResult(status=missed)
    source = CacheSource(action=parse_key(row), attempt=row.attempt)
    return CacheResult(
        status=CacheStatus.HIT,
        entry=CacheEntry(
            source=source,
            output_uri=row.output_uri,
            created_at=row.created_at,
            hit_at=row.hit_at,
        ),
    )


async def touch_entries(
    tx: OrgTx, hits: Sequence[tuple[CacheRequest, CacheEntry]], now: datetime
) -> None:
    """Record that entries were used, unless that was recorded lately or another does it now."""
    due = sorted(
        {
            (request.key, entry.source.action.run.project, entry.source.action.run.domain)
            for request, entry in hits
            if entry.hit_at < now - TOUCH_INTERVAL
        }
    )
    if due:
        keys, projects, domains = zip(*due, strict=True)
        await tx.execute(
            _TOUCH,
            {"key": list(keys), "project": list(projects), "domain": list(domains), "now": now},
        )


async def delete_entries(tx: OrgTx, gone: Collection[tuple[str, str]]) -> None:
    """Delete entries, by key and output URI, whose outputs do not exist any more."""
    if gone:
        keys, uris = zip(*sorted(gone), strict=True)
        await tx.execute(_DELETE, {"key": list(keys), "output_uri": list(uris)})


async def store_entries(
    tx: OrgTx,
    succeeded: Sequence[tuple[AttemptId, str, CacheStatus]],
    now: datetime,
) -> None:
    """
    Store the output URIs of succeeded attempts, and mark the actions of those that were stored.

    Attempts of actions that are not cached store nothing. Called last: it locks entries.
    """
    storing = [each for each in succeeded if each[2] in STORED_FROM]
    if storing:
        await tx.execute(
            _STORE,
            {
                "id": [attempt.action for attempt, _, _ in storing],
                "attempt": [attempt.number for attempt, _, _ in storing],
                "output_uri": [uri for _, uri, _ in storing],
                "overwrites": [status is CacheStatus.SKIPPED for _, _, status in storing],
                "later_at": now + CLOCK_SKEW,
                "now": now,
            },
        )
