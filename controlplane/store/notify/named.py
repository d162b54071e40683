"""Stores an org's named notification rules and delivery configurations."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.core.named_notifications import NamedKind, NamedRow
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

# The org's row is locked, so that the count holds until the insert commits.
_COUNT = statement("""
WITH org AS MATERIALIZED (SELECT org FROM orgs WHERE org = :org FOR NO KEY UPDATE)
SELECT count(n.name) AS number FROM org LEFT JOIN named_notifications n ON n.org = org.org AND n.kind = :kind
""")
_INSERT = statement("""
INSERT INTO named_notifications (org, kind, name, content, envelope, keyring, created_by, created_at)
VALUES (:org, :kind, :name, :content, :envelope, :keyring, :created_by, :now)
ON CONFLICT DO NOTHING
""").bindparams(bindparam("content", type_=JSONB))
_UPDATE = statement("""
UPDATE named_notifications
SET content = :content, envelope = :envelope, keyring = :keyring, version = :becomes
WHERE org = :org AND kind = :kind AND name = :name AND version = :version
""").bindparams(bindparam("content", type_=JSONB))
_DELETE = statement("""
DELETE FROM named_notifications WHERE org = :org AND kind = :kind AND name = :name
""")
_FIND = statement("""
SELECT name, content, envelope, keyring, version FROM named_notifications
WHERE org = :org AND kind = :kind AND name = ANY(CAST(:names AS text[])) ORDER BY name
""")
_LOCK = statement("""
SELECT name, content, envelope, keyring, version FROM named_notifications
WHERE org = :org AND kind = :kind AND name = :name FOR UPDATE
""")
_SHARE = statement("""
SELECT name FROM named_notifications
WHERE org = :org AND kind = :kind AND name = ANY(CAST(:names AS text[])) ORDER BY name FOR SHARE
""")
_LIST = statement("""
SELECT name, content, envelope, keyring, version FROM named_notifications
WHERE org = :org AND kind = :kind AND name > :after ORDER BY name LIMIT :most
""")
_RULES_OF = statement("""
SELECT name FROM named_notifications
WHERE org = :org AND kind = 2 AND content -> 'configs' @> to_jsonb(CAST(:name AS text))
ORDER BY name LIMIT 10
""")
_KEYRINGS = statement("""
SELECT org, keyring, count(*) AS number FROM named_notifications WHERE kind = 1
GROUP BY org, keyring ORDER BY org, keyring
""")


async def count_named(tx: OrgTx, kind: NamedKind) -> int:
    """Count the org's; none is added by others until the transaction ends."""
    (row,) = await tx.rows(_COUNT, {"kind": kind.value})
    return int(row.number)


async def insert_named(tx: OrgTx, row: NamedRow, by: str, now: datetime) -> bool:
    """Insert it; False if the name is taken."""
    values = {**_values(row), "created_by": by, "now": now}
    return bool((await tx.execute(_INSERT, values)).rowcount)


async def replace_named(tx: OrgTx, row: NamedRow, *, version: int) -> bool:
    """Replace the one of that name that is at ``version``; False if it is at another by now."""
    values = {**_values(row), "version": version, "becomes": row.version}
    return bool((await tx.execute(_UPDATE, values)).rowcount)


async def delete_named(tx: OrgTx, kind: NamedKind, name: str) -> bool:
    """Delete it; False if there is none."""
    return bool((await tx.execute(_DELETE, {"kind": kind.value, "name": name})).rowcount)


async def find_named(tx: OrgTx, kind: NamedKind, names: Collection[str]) -> Sequence[NamedRow]:
    """Return those of these names that exist, by name."""
    rows = await tx.rows(_FIND, {"kind": kind.value, "names": list(names)})
    return [_parse(kind, row) for row in rows]


async def share_named(tx: OrgTx, kind: NamedKind, names: Collection[str]) -> frozenset[str]:
    """Return those of these names that exist; none is deleted until the transaction ends."""
    rows = await tx.rows(_SHARE, {"kind": kind.value, "names": list(names)})
    return frozenset(row.name for row in rows)


async def lock_named(tx: OrgTx, kind: NamedKind, name: str) -> NamedRow | None:
    rows = await tx.rows(_LOCK, {"kind": kind.value, "name": name})
    return next((_parse(kind, row) for row in rows), None)


async def list_named(tx: OrgTx, kind: NamedKind, *, after: str, most: int) -> Sequence[NamedRow]:
    """List them by name."""
    rows = await tx.rows(_LIST, {"kind": kind.value, "after": after, "most": most})
    return [_parse(kind, row) for row in rows]


async def list_rules_of(tx: OrgTx, config: str) -> Sequence[str]:
    """List names of rules that name a delivery configuration; ten at most."""
    return [row.name for row in await tx.rows(_RULES_OF, {"name": config})]


async def list_keyrings(tx: FleetTx) -> Sequence[tuple[OrgName, str, int]]:
    """Count the delivery configurations of each org by the keyring that opens them."""
    return [
        (OrgName(row.org), row.keyring, row.number)
        for row in await tx.connection.execute(_KEYRINGS)
    ]


def _values(row: NamedRow) -> dict[str, object]:
    return {
        "kind": row.kind.value,
        "name": row.name,
        "content": row.content,
        "envelope": row.envelope,
        "keyring": row.keyring,
    }


def _parse(kind: NamedKind, row: Any) -> NamedRow:
    return NamedRow(
        kind=kind,
        name=row.name,
        content=row.content,
        envelope=bytes(row.envelope),
        keyring=row.keyring,
        version=row.version,
    )
