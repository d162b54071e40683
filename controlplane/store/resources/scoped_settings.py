"""Stores settings of orgs, domains and projects: at most one row for each scope."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.core.scoped_settings import Setting, Settings, SettingsRecord
from controlplane.core.scopes import Scope, list_scopes
from controlplane.store.database import OrgTx
from controlplane.store.statements import given, statement

_FIND = statement(f"""
{given(domain="text", project="text")}
SELECT s.domain, s.project, s.body, s.version, s.updated_by, s.updated_at
FROM n JOIN scoped_settings s
  ON s.org = n.org AND s.domain = n.domain AND s.project = n.project
""")

_LOCK = statement("""
SELECT domain, project, body, version, updated_by, updated_at FROM scoped_settings
WHERE org = :org AND domain = :domain AND project = :project FOR UPDATE
""")

_CREATE = statement("""
INSERT INTO scoped_settings (org, domain, project, body, version, updated_by, updated_at)
VALUES (:org, :domain, :project, :body, 1, :by, :now)
ON CONFLICT DO NOTHING
RETURNING version
""").bindparams(bindparam("body", type_=JSONB))

_REPLACE = statement("""
UPDATE scoped_settings
SET body = :body, version = version + 1, updated_by = :by, updated_at = :now
WHERE org = :org AND domain = :domain AND project = :project AND version = :version
""").bindparams(bindparam("body", type_=JSONB))


async def list_records(tx: OrgTx, scope: Scope) -> Sequence[SettingsRecord]:
    """Return a record for each scope that holds for ``scope``, broadest first, stored or not."""
    return (await list_records_of(tx, [scope]))[scope]


async def list_records_of(
    tx: OrgTx, scopes: Collection[Scope]
) -> Mapping[Scope, Sequence[SettingsRecord]]:
    """Return the same for each of many scopes, by one statement."""
    holding = {scope: list_scopes(scope) for scope in scopes}
    every = sorted({each for found in holding.values() for each in found}, key=_order)
    rows = await tx.rows(
        _FIND,
        {"domain": [each.domain for each in every], "project": [each.project for each in every]},
    )
    stored = {Scope(row.domain, row.project): _parse(row) for row in rows}
    return {
        scope: [stored.get(each) or SettingsRecord(scope=each) for each in found]
        for scope, found in holding.items()
    }


async def lock_record(tx: OrgTx, scope: Scope) -> SettingsRecord | None:
    """Return what exactly this scope stores, locked until commit."""
    rows = await tx.rows(_LOCK, {"domain": scope.domain, "project": scope.project})
    return _parse(rows[0]) if rows else None


async def create_record(
    tx: OrgTx, scope: Scope, settings: Settings, *, by: str, now: datetime
) -> bool:
    """Store a scope's first settings; False if it has some."""
    return bool(await tx.rows(_CREATE, _values(scope, settings, by, now)))


async def replace_record(
    tx: OrgTx, scope: Scope, settings: Settings, *, version: int, by: str, now: datetime
) -> None:
    """Replace the settings of a scope whose record is locked, of this version."""
    await tx.execute(_REPLACE, {**_values(scope, settings, by, now), "version": version})


def _order(scope: Scope) -> tuple[str, str]:
    return scope.domain, scope.project


def _values(scope: Scope, settings: Settings, by: str, now: datetime) -> dict[str, object]:
    body = {key: each.value for key, each in settings.items()}
    return {"domain": scope.domain, "project": scope.project, "body": body, "by": by, "now": now}


def _parse(row: Any) -> SettingsRecord:
    return SettingsRecord(
        scope=Scope(row.domain, row.project),
        settings={key: Setting(value) for key, value in row.body.items()},
        version=row.version,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )
