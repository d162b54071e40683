"""
Stores the deletion of orgs: begin it, end what runs, call it off, and erase rows in pages.

Rows are erased by the role of the application, in transactions of the org: row-level security lets
no statement here touch another one's. What belongs to the whole fleet (logins of programs, logins at
providers) is found by its org's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Table, TextClause

from controlplane.core.deleted_orgs import Deletion
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.identity.orgs import parse_deletion
from controlplane.store.statements import statement
from controlplane.store.tables import TENANT_TABLES, metadata
from shared.model.ids import OrgName

PAGE = 1_000
"""Rows that one transaction erases."""

KEPT = frozenset({"audit_heads", "audit_log", "orgs"})
"""Tables whose rows outlive their org (controlplane/store/DECISIONS.md)."""

ERASED_TABLES: Sequence[Table] = tuple(
    table
    for table in reversed(metadata.sorted_tables)  # those that refer to others first
    if table in TENANT_TABLES and table.name not in KEPT
)

_DELETION = "deleted_at, deleted_by, agents_until, erase_at, erasing_since, erased_at"

_FIND = statement(f"""
SELECT {_DELETION} FROM orgs WHERE org = :org AND deleted_at IS NOT NULL
""")
_LIST = statement(f"""
SELECT org, {_DELETION} FROM orgs
WHERE deleted_at IS NOT NULL AND org > :after AND erased_at IS NULL ORDER BY org LIMIT :most
""")
_BEGIN = statement("""
UPDATE orgs
SET deleted_at = :now, deleted_by = :by, agents_until = :agents_until_at, erase_at = :erase_at,
    version = version + 1
WHERE org = :org AND deleted_at IS NULL
""")
_CALL_OFF = statement("""
UPDATE orgs
SET deleted_at = NULL, deleted_by = '', agents_until = NULL, erase_at = NULL, version = version + 1
WHERE org = :org AND erasing_since IS NULL
""")
_END_AGENTS = statement("""
UPDATE orgs SET agents_until = :now
WHERE org = :org AND deleted_at IS NOT NULL AND agents_until > :now
""")
_BEGIN_ERASING = statement("""
UPDATE orgs SET erasing_since = coalesce(erasing_since, :now)
WHERE org = :org AND deleted_at IS NOT NULL AND erase_at <= :now AND erased_at IS NULL
RETURNING org
""")
_END_ERASING = statement("""
UPDATE orgs SET erased_at = :now, name = '' WHERE org = :org AND erased_at IS NULL RETURNING org
""")

_LIVE_RUNS = statement("""
SELECT d.action_id, d.run_id FROM dispatches d
WHERE d.org = :org AND d.action_id > :after
ORDER BY d.org, d.action_id LIMIT :most
""")
_WAITING_RUNS = statement("""
SELECT w.action_id, w.run_id FROM cache_waiters w
WHERE w.org = :org AND w.action_id > :after
ORDER BY w.org, w.action_id LIMIT :most
""")
_ANY_LEASE = statement("""
SELECT 1 FROM dispatches WHERE org = :org AND lease_id IS NOT NULL LIMIT 1
""")

_ERASE_FAMILIES = statement("""
DELETE FROM token_families WHERE ctid = ANY (ARRAY(
    SELECT f.ctid FROM token_families f WHERE f.org = :org ORDER BY f.org, f.subject LIMIT :most
)) AND org = :org
""")
_ERASE_PROVIDER_LOGINS = statement("""
DELETE FROM provider_logins WHERE ctid = ANY (ARRAY(
    SELECT l.ctid FROM provider_logins l
    WHERE l.org = :org ORDER BY l.org, l.provider_id LIMIT :most
)) AND org = :org
""")

# Only look-ups by the primary key are left: statistics of a table from which all rows of an org
# go, page by page, are never right.
_BY_KEY = statement("""
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
""")


@dataclass(frozen=True, slots=True)
class DeletedOrg:
    name: OrgName
    deletion: Deletion


@dataclass(frozen=True, slots=True)
class ErasedPage:
    """Rows that one statement erased, and the key after which the next page begins."""

    rows: int
    last: Sequence[object] | None  # None: no row was left


async def find_deletion(tx: FleetTx, org: OrgName) -> Deletion | None:
    """Return how far the deletion of an org has come; None if it is not deleted."""
    row = (await tx.connection.execute(_FIND, {"org": org})).first()
    return None if row is None else parse_deletion(row)


async def list_deleted(tx: FleetTx, *, after: str, most: int) -> Sequence[DeletedOrg]:
    """List deleted orgs whose data is not erased yet, by name."""
    rows = await tx.connection.execute(_LIST, {"after": after, "most": most})
    found: list[Any] = list(rows)
    return [
        DeletedOrg(OrgName(row.org), deletion)
        for row in found
        if (deletion := parse_deletion(row)) is not None
    ]


async def begin_deletion(
    tx: OrgTx, *, by: str, agents_until: datetime, erase_at: datetime, now: datetime
) -> None:
    """Delete the org, which the transaction has locked, until ``erase_at`` so that it can return."""
    values = {"by": by, "agents_until_at": agents_until, "erase_at": erase_at, "now": now}
    await tx.execute(_BEGIN, values)


async def call_off(tx: OrgTx) -> None:
    """Restore the org, which the transaction has locked, unless its erasure has begun."""
    await tx.execute(_CALL_OFF)


async def end_agents(tx: OrgTx, now: datetime) -> bool:
    """Refuse the org's agents from now on; False if they are already."""
    return (await tx.execute(_END_AGENTS, {"now": now})).rowcount > 0


async def list_live(
    tx: OrgTx, after: object, *, waiting: bool, most: int
) -> Sequence[tuple[UUID, UUID]]:
    """
    List (action, run) of actions that have a dispatch, in the order of their ids.

    ``waiting``: those that wait for an equal action instead, which have none.
    """
    query = _WAITING_RUNS if waiting else _LIVE_RUNS
    rows = await tx.rows(query, {"after": after, "most": most})
    return [(row.action_id, row.run_id) for row in rows]


async def has_leases(tx: OrgTx) -> bool:
    """Return whether agents have attempts of the org that they have not reported as ended."""
    return bool(await tx.rows(_ANY_LEASE))


async def begin_erasing(tx: OrgTx, now: datetime) -> bool:
    """Lock the org and note that its erasure has begun; False: restored, erased, or not due."""
    return bool(await tx.rows(_BEGIN_ERASING, {"now": now}))


async def end_erasing(tx: OrgTx, now: datetime) -> bool:
    """Note that all is erased; False if that was noted before."""
    return bool(await tx.rows(_END_ERASING, {"now": now}))


async def erase_page(tx: OrgTx, table: Table, after: Sequence[object] | None) -> ErasedPage:
    """Delete up to ``PAGE`` rows of the org, after a primary key and in its order."""
    await tx.execute(_BY_KEY)
    query = _erasure_of(table, has_start=after is not None)
    keys = [column.name for column in table.primary_key.columns][1:]
    values: dict[str, object] = {"most": PAGE}
    if after is not None:
        values |= {f"after_{key}": value for key, value in zip(keys, after, strict=True)}
    row: Any = (await tx.execute(query, values)).first()
    if row is None:
        return ErasedPage(0, None)
    return ErasedPage(row.gone, [getattr(row, key) for key in keys])


async def erase_logins_page(tx: FleetTx, org: OrgName) -> int:
    """Delete a page of the programs' logins, and of people's logins at the org's providers."""
    values = {"org": org, "most": PAGE}
    families = await tx.connection.execute(_ERASE_FAMILIES, values)
    logins = await tx.connection.execute(_ERASE_PROVIDER_LOGINS, values)
    return families.rowcount + logins.rowcount


@cache
def _erasure_of(table: Table, *, has_start: bool) -> TextClause:
    """
    Build the statement that erases a page of a table.

    Rows are deleted by where they lie (``ctid``), which no plan can turn into anything else; those
    of a table with partitions, where that is not unique, by their whole key.
    """
    name = table.name
    keys = [column.name for column in table.primary_key.columns][1:]
    listed = ", ".join(keys)
    start = f"AND ({listed}) > ({', '.join(f':after_{key}' for key in keys)})" if has_start else ""
    if table.dialect_options["postgresql"]["partition_by"]:
        same = " AND ".join(f"t.{key} = page.{key}" for key in keys)
        delete = f"DELETE FROM {name} t USING page WHERE t.org = :org AND {same} RETURNING 1"
    else:
        there = "ctid = ANY (ARRAY(SELECT place FROM page))"
        delete = f"DELETE FROM {name} WHERE {there} AND org = :org RETURNING 1"
    return statement(f"""
WITH page AS MATERIALIZED (
    SELECT ctid AS place, {listed} FROM {name}
    WHERE org = :org {start} ORDER BY org, {listed} LIMIT :most
), gone AS (
    {delete}
)
SELECT (SELECT count(*) FROM gone) AS gone, {listed} FROM page
ORDER BY {", ".join(f"{key} DESC" for key in keys)} LIMIT 1
""")
