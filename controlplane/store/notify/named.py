"""Stores an org's named notification rules and delivery configurations."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.core.named_notifications import (
    Named,
    NamedKind,
    kind_of,
    parse_content,
    render_content,
)
from controlplane.store.database import OrgTx
from controlplane.store.statements import statement

# The org's row is locked, so that the count holds until the insert commits.
_COUNT = statement("""
WITH org AS MATERIALIZED (SELECT org FROM orgs WHERE org = :org FOR NO KEY UPDATE)
SELECT count(n.name) AS number FROM org LEFT JOIN named_notifications n ON n.org = org.org AND n.kind = :kind
""")
_INSERT = statement("""
INSERT INTO named_notifications (org, kind, name, content, created_by, created_at)
VALUES (:org, :kind, :name, :content, :created_by, :now) ON CONFLICT DO NOTHING
""").bindparams(bindparam("content", type_=JSONB))
_UPDATE = statement("""
UPDATE named_notifications SET content = :content, version = version + 1
WHERE org = :org AND kind = :kind AND name = :name
""").bindparams(bindparam("content", type_=JSONB))
_DELETE = statement("""
DELETE FROM named_notifications WHERE org = :org AND kind = :kind AND name = :name
""")
_FIND = statement("""
SELECT name, content, version FROM named_notifications
WHERE org = :org AND kind = :kind AND name = ANY(CAST(:names AS text[])) ORDER BY name
""")
_LOCK = statement("""
SELECT name, content, version FROM named_notifications
WHERE org = :org AND kind = :kind AND name = :name FOR UPDATE
""")
_SHARE = statement("""
SELECT name FROM named_notifications
WHERE org = :org AND kind = :kind AND name = ANY(CAST(:names AS text[])) ORDER BY name FOR SHARE
""")
_LIST = statement("""
SELECT name, content, version FROM named_notifications
WHERE org = :org AND kind = :kind AND name > :after ORDER BY name LIMIT :most
""")
_RULES_OF = statement("""
SELECT name FROM named_notifications
WHERE org = :org AND kind = 2 AND content -> 'configs' @> to_jsonb(CAST(:name AS text))
ORDER BY name LIMIT 10
""")


async def count_named(tx: OrgTx, kind: NamedKind) -> int:
    """Count the org's; none is added by others until the transaction ends."""
    (row,) = await tx.rows(_COUNT, {"kind": kind.value})
    return int(row.number)


async def insert_named(tx: OrgTx, named: Named, by: str, now: datetime) -> bool:
    """Insert it; False if the name is taken."""
    values = {**_values(named), "created_by": by, "now": now}
    return bool((await tx.execute(_INSERT, values)).rowcount)


async def update_named(tx: OrgTx, named: Named) -> None:
    await tx.execute(_UPDATE, _values(named))


async def delete_named(tx: OrgTx, kind: NamedKind, name: str) -> bool:
    """Delete it; False if there is none."""
    return bool((await tx.execute(_DELETE, {"kind": kind.value, "name": name})).rowcount)


async def find_named(tx: OrgTx, kind: NamedKind, names: Collection[str]) -> Sequence[Named]:
    """Return those of these names that exist, by name."""
    rows = await tx.rows(_FIND, {"kind": kind.value, "names": list(names)})
    return [parse_content(kind, row.name, row.content, row.version) for row in rows]


async def share_named(tx: OrgTx, kind: NamedKind, names: Collection[str]) -> frozenset[str]:
    """Return those of these names that exist; none is deleted until the transaction ends."""
    rows = await tx.rows(_SHARE, {"kind": kind.value, "names": list(names)})
    return frozenset(row.name for row in rows)


async def lock_named(tx: OrgTx, kind: NamedKind, name: str) -> Named | None:
    rows = await tx.rows(_LOCK, {"kind": kind.value, "name": name})
    return next((parse_content(kind, r.name, r.content, r.version) for r in rows), None)


async def list_named(tx: OrgTx, kind: NamedKind, *, after: str, most: int) -> Sequence[Named]:
    """List them by name."""
    rows = await tx.rows(_LIST, {"kind": kind.value, "after": after, "most": most})
    return [parse_content(kind, row.name, row.content, row.version) for row in rows]


async def list_rules_of(tx: OrgTx, config: str) -> Sequence[str]:
    """List names of rules that name a delivery configuration; ten at most."""
    return [row.name for row in await tx.rows(_RULES_OF, {"name": config})]


def _values(named: Named) -> dict[str, object]:
    return {
        "kind": kind_of(named).value,
        "name": named.name,
        "content": render_content(named),
    }
