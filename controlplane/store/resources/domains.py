"""Stores the domains of an org that differ from the default ones: at most core.domains.MAX_DOMAINS."""

from collections.abc import Sequence

from controlplane.core.domains import DEFAULTS, Domain, StoredDomain, merge
from controlplane.core.errors import NotFoundError
from controlplane.store.database import OrgTx
from controlplane.store.statements import statement
from shared.model.ids import DomainName

_LIST = statement("""
SELECT o.created_at AS org_created_at, d.domain, d.name, d.created_at, d.is_deleted
FROM orgs o LEFT JOIN domains d ON d.org = o.org
WHERE o.org = :org
""")

_FIND = statement("SELECT is_deleted FROM domains WHERE org = :org AND domain = :domain")

# Serializes changes of an org's domains, of which a default one may have no row to lock.
_LOCK = statement("SELECT pg_advisory_xact_lock(hashtextextended('domains ' || :org, 0))")

_SAVE = statement("""
INSERT INTO domains (org, domain, name, created_at, is_deleted)
VALUES (:org, :domain, :name, :created_at, :is_deleted)
ON CONFLICT (org, domain) DO UPDATE
SET name = excluded.name, created_at = excluded.created_at, is_deleted = excluded.is_deleted
""")

_DELETE = statement("DELETE FROM domains WHERE org = :org AND domain = :domain")

_FIND_LIVE_RUN = statement("""
SELECT r.project, r.run FROM dispatches d
JOIN runs r ON r.org = d.org AND r.run_id = d.run_id
WHERE d.org = :org AND r.domain = :domain
LIMIT 1
""")

_FIND_SCHEDULE = statement("""
SELECT project, task_name, name FROM triggers
WHERE org = :org AND domain = :domain AND wake_at IS NOT NULL
LIMIT 1
""")

_DELETE_SETTINGS = statement("DELETE FROM scoped_settings WHERE org = :org AND domain = :domain")

_DELETE_SECRETS = statement("DELETE FROM secrets WHERE org = :org AND domain = :domain")


async def list_domains(tx: OrgTx) -> Sequence[Domain]:
    """Return the org's domains in the order of their creation."""
    rows = await tx.rows(_LIST)
    stored = [
        StoredDomain(Domain(DomainName(row.domain), row.name, row.created_at), row.is_deleted)
        for row in rows
        if row.domain is not None
    ]
    return merge(stored, rows[0].org_created_at) if rows else []


async def require_domain(tx: OrgTx, domain: DomainName) -> None:
    """Raise NotFoundError unless the org has this domain."""
    rows = await tx.rows(_FIND, {"domain": domain})
    if rows[0].is_deleted if rows else domain not in DEFAULTS:
        there_are = [each.id for each in await list_domains(tx)]
        raise NotFoundError("domain", domain, there_are=there_are)


async def lock_domains(tx: OrgTx) -> Sequence[Domain]:
    """Return the org's domains, which no other transaction changes until this one ends."""
    await tx.execute(_LOCK)
    return await list_domains(tx)


async def save_domain(tx: OrgTx, domain: Domain, *, is_deleted: bool = False) -> None:
    """Insert or replace a domain's row; a default one that is deleted needs one."""
    values = {"domain": domain.id, "name": domain.name, "created_at": domain.created_at}
    await tx.execute(_SAVE, {**values, "is_deleted": is_deleted})


async def find_live_run(tx: OrgTx, domain: DomainName) -> str | None:
    """Return ``project/run`` of a run of the domain that has not ended; None if all have."""
    rows = await tx.rows(_FIND_LIVE_RUN, {"domain": domain})
    return f"{rows[0].project}/{rows[0].run}" if rows else None


async def find_schedule(tx: OrgTx, domain: DomainName) -> str | None:
    """Return ``project/task/trigger`` of a trigger that will start runs in the domain, if any."""
    rows = await tx.rows(_FIND_SCHEDULE, {"domain": domain})
    return f"{rows[0].project}/{rows[0].task_name}/{rows[0].name}" if rows else None


async def delete_domain(tx: OrgTx, domain: Domain) -> None:
    """Delete a domain with its settings and secrets."""
    for each in (_DELETE, _DELETE_SETTINGS, _DELETE_SECRETS):
        await tx.execute(each, {"domain": domain.id})
    if domain.id in DEFAULTS:
        await save_domain(tx, domain, is_deleted=True)
