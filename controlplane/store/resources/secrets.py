"""Stores secrets as envelopes, and reads the public keys of clusters."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, bindparam, false, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.core.callers import Scopes
from controlplane.core.lists import Listing
from controlplane.core.secrets import ClusterKey, SealedRow, SecretRow, SecretType
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch_tables import clusters
from controlplane.store.resources.filters import among, text_field
from controlplane.store.resources.pages import Key, page
from controlplane.store.rows import parse_enum
from controlplane.store.scope_tables import secrets
from controlplane.store.statements import given, not_deleted, statement
from shared.model.ids import AttemptId, ClusterName, DomainName, LeaseId, OrgName, ProjectName
from shared.model.secrets import SecretName

_ROW = [column for column in secrets.c if column.name != "envelope"]

_CREATE = statement("""
INSERT INTO secrets (org, project, domain, name, type, envelope, keyring, recipients, version,
                     created_by, created_at, updated_at)
VALUES (:org, :project, :domain, :name, :type, :envelope, :keyring, :recipients, 1, :created_by,
        :now, :now)
ON CONFLICT DO NOTHING RETURNING 1
""").bindparams(bindparam("recipients", type_=JSONB))

_REPLACE = statement("""
UPDATE secrets
SET envelope = :envelope, keyring = :keyring, recipients = :recipients, version = :becomes,
    updated_at = COALESCE(:changed_at, updated_at)
WHERE org = :org AND project = :project AND domain = :domain AND name = :name
  AND version = :version
RETURNING 1
""").bindparams(bindparam("recipients", type_=JSONB))

_DELETE = statement("""
DELETE FROM secrets
WHERE org = :org AND project = :project AND domain = :domain AND name = :name RETURNING 1
""")

_FIND = statement(f"""
{given(project="text", domain="text", name="text")}
SELECT s.*
FROM n JOIN secrets s
  ON s.org = n.org AND s.project = n.project AND s.domain = n.domain AND s.name = n.name
""")

_COUNT = statement("""
SELECT count(*) AS found FROM (SELECT 1 FROM secrets WHERE org = :org LIMIT :most) s
""")

_IMAGE_PULL = statement("""
SELECT * FROM secrets WHERE org = :org AND type = 1 ORDER BY updated_at DESC, name LIMIT :most
""")

_AFTER = statement("""
SELECT * FROM secrets
WHERE org = :org AND (project, domain, name) > (:project, :domain, :name)
ORDER BY org, project, domain, name LIMIT :most
""")

# For the agent that holds the lease, and for no other.
_SCOPE_OF_LEASE = statement(f"""
SELECT r.project, r.domain, s.body FROM dispatches d
JOIN runs r ON r.org = d.org AND r.run_id = d.run_id
JOIN actions a ON a.org = d.org AND a.id = d.action_id
JOIN specs s ON s.org = a.org AND s.digest = a.spec
WHERE d.org = :org AND d.action_id = :action_id AND d.attempt = :attempt
  AND d.lease_id = :lease_id AND d.cluster = :cluster AND {not_deleted("d.org")}
""")


async def create_secret(tx: OrgTx, row: SecretRow, envelope: bytes, *, now: datetime) -> bool:
    """Insert a secret; False if its scope has one of that name."""
    made = await tx.rows(
        _CREATE,
        {
            **_key(row.name),
            "type": row.type.value,
            "envelope": envelope,
            "keyring": row.keyring,
            "recipients": list(row.recipients),
            "created_by": row.created_by,
            "now": now,
        },
    )
    return bool(made)


async def replace_envelope(
    tx: OrgTx,
    row: SecretRow,
    envelope: bytes,
    *,
    keyring: str,
    recipients: Sequence[str],
    changed_at: datetime | None,
) -> bool:
    """
    Replace the envelope of the version that ``row`` has; False if it has another by now.

    ``changed_at``: when its value was changed, in a new version; None: only its keys are new.
    """
    changed = await tx.rows(
        _REPLACE,
        {
            **_key(row.name),
            "envelope": envelope,
            "keyring": keyring,
            "recipients": list(recipients),
            "version": row.version,
            "becomes": row.version + (changed_at is not None),
            "changed_at": changed_at,
        },
    )
    return bool(changed)


async def delete_secret(tx: OrgTx, name: SecretName) -> bool:
    """Delete a secret; False if it does not exist."""
    return bool(await tx.rows(_DELETE, _key(name)))


async def find_secrets(tx: OrgTx, names: Collection[SecretName]) -> Sequence[SealedRow]:
    """Return those of these secrets that exist, in any order."""
    rows = await tx.rows(
        _FIND,
        {
            "project": [each.project for each in names],
            "domain": [each.domain for each in names],
            "name": [each.name for each in names],
        },
    )
    return [_parse_sealed(row) for row in rows]


async def find_image_pull_secrets(tx: OrgTx, *, most: int) -> Sequence[SealedRow]:
    """Return the org's image pull secrets, the latest changed first."""
    return [_parse_sealed(row) for row in await tx.rows(_IMAGE_PULL, {"most": most})]


async def count_secrets(tx: OrgTx, *, most: int) -> int:
    """Count the org's secrets, up to ``most``."""
    rows = await tx.rows(_COUNT, {"most": most})
    return int(rows[0].found)


async def list_secrets(
    tx: OrgTx, *, project: str, domain: str, visible: Scopes | None, limit: int, token: str
) -> tuple[Sequence[SecretRow], str]:
    """
    List secrets of a scope and the scopes within it, by project, domain and name.

    ``visible``: the scopes whose secrets the caller may read; None for all.
    """
    query: Select[Any] = select(*_ROW).where(secrets.c.org == tx.org)
    if domain:
        query = query.where(secrets.c.domain == domain)
    if project:
        query = query.where(secrets.c.project == project)
    if visible is not None:
        query = query.where(or_(false(), *(_within(*scope) for scope in sorted(visible))))
    by_name = [Key(text_field(secrets.c[each])) for each in ("project", "domain", "name")]
    rows, following = await page(tx, query, among({}), Listing(limit=limit, token=token), by_name)
    return [_parse(row) for row in rows], following


async def list_after(tx: OrgTx, after: SecretName | None, *, most: int) -> Sequence[SealedRow]:
    """Return secrets with their envelopes, by project, domain and name, after this one."""
    start = SecretName(org=tx.org, name="") if after is None else after
    rows = await tx.rows(_AFTER, {**_key(start), "most": most})
    return [_parse_sealed(row) for row in rows]


async def list_keyrings(tx: FleetTx) -> Sequence[tuple[OrgName, str, int]]:
    """Count the secrets of each org by the keyring that opens them."""
    query = (
        select(secrets.c.org, secrets.c.keyring, func.count())
        .group_by(secrets.c.org, secrets.c.keyring)
        .order_by(secrets.c.org, secrets.c.keyring)
    )
    return [
        (OrgName(org), keyring, count) for org, keyring, count in await tx.connection.execute(query)
    ]


async def list_cluster_keys(tx: OrgTx) -> Sequence[ClusterKey]:
    """Return the clusters of the org with their public keys, by name."""
    query = (
        select(clusters.c.cluster, clusters.c.secrets_key, clusters.c.connected)
        .where(clusters.c.org == tx.org)
        .order_by(clusters.c.cluster)
        .limit(1000)
    )
    return [
        ClusterKey(
            cluster=ClusterName(row.cluster),
            public_key=bytes(row.secrets_key),
            connected=row.connected,
        )
        for row in await tx.connection.execute(query)
    ]


async def find_scope_of_lease(
    tx: OrgTx, cluster: ClusterName, attempt: AttemptId, lease: LeaseId
) -> tuple[ProjectName, DomainName, bytes] | None:
    """
    Return project, domain and task spec of an attempt that is leased to the cluster.

    None if it is not leased to it, or the org was deleted.
    """
    rows = await tx.rows(
        _SCOPE_OF_LEASE,
        {
            "cluster": cluster,
            "action_id": attempt.action,
            "attempt": attempt.number,
            "lease_id": lease,
        },
    )
    if not rows:
        return None
    return ProjectName(rows[0].project), DomainName(rows[0].domain), bytes(rows[0].body)


def _key(name: SecretName) -> dict[str, object]:
    return {"project": name.project, "domain": name.domain, "name": name.name}


def _within(project: str, domain: str) -> Any:
    of_project = secrets.c.project == project
    return and_(of_project, secrets.c.domain == domain) if domain else of_project


def _parse(row: Any) -> SecretRow:
    return SecretRow(
        name=SecretName(
            org=OrgName(row.org), project=row.project, domain=row.domain, name=row.name
        ),
        type=parse_enum(row.type, SecretType.UNKNOWN),
        version=row.version,
        keyring=row.keyring,
        recipients=row.recipients,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _parse_sealed(row: Any) -> SealedRow:
    return SealedRow(row=_parse(row), envelope=bytes(row.envelope))
