"""Stores claims of e-mail domains, and finds those whose record is to be looked up again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from controlplane.core.email_domains import DomainClaim
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import not_deleted, statement
from shared.model.ids import OrgName

_COLUMNS = "domain, role, challenge, created_by, created_at, checked_at, proven_at, missing_since"
_SAVE = statement(f"""
INSERT INTO email_domain_claims (org, domain, role, challenge, created_by, created_at)
VALUES (:org, :domain, :role, :challenge, :by, :now)
ON CONFLICT (org, domain) DO UPDATE SET role = EXCLUDED.role
RETURNING {_COLUMNS}
""")
_LOCK = statement(f"""
SELECT {_COLUMNS} FROM email_domain_claims WHERE org = :org AND domain = :domain FOR UPDATE
""")
_LIST = statement(f"SELECT {_COLUMNS} FROM email_domain_claims WHERE org = :org ORDER BY domain")
_CHECKED = statement(f"""
UPDATE email_domain_claims
SET checked_at = :now, proven_at = :proven_at, missing_since = :missing_at, due_at = :due_at
WHERE org = :org AND domain = :domain
RETURNING {_COLUMNS}
""")
_DELETE = statement("""
DELETE FROM email_domain_claims WHERE org = :org AND domain = :domain RETURNING domain
""")
# A replica that takes a claim moves its next check on first, so that one replica looks it up; if that
# dies, the claim is due again then.
_TAKE = statement(f"""
WITH due AS MATERIALIZED (
    SELECT c.org, c.domain FROM email_domain_claims c
    WHERE c.due_at <= :now AND {not_deleted("c.org")}
    ORDER BY c.due_at LIMIT :most FOR UPDATE SKIP LOCKED
)
UPDATE email_domain_claims c SET due_at = :again_at
FROM due WHERE c.org = due.org AND c.domain = due.domain
RETURNING c.org, c.domain
""")


async def save_claim(
    tx: OrgTx, domain: str, role: str, challenge: str, *, by: str, now: datetime
) -> DomainClaim:
    """Insert a claim; of an existing one, which keeps its challenge, change the role."""
    values = {"domain": domain, "role": role, "challenge": challenge, "by": by, "now": now}
    return _parse((await tx.rows(_SAVE, values))[0])


async def lock_claim(tx: OrgTx, domain: str) -> DomainClaim | None:
    rows = await tx.rows(_LOCK, {"domain": domain})
    return _parse(rows[0]) if rows else None


async def list_claims(tx: OrgTx) -> Sequence[DomainClaim]:
    """List the org's claims, by domain."""
    return [_parse(row) for row in await tx.rows(_LIST)]


async def save_check(
    tx: OrgTx,
    domain: str,
    *,
    proven_at: datetime | None,
    missing_since: datetime | None,
    due_at: datetime | None,
    now: datetime,
) -> DomainClaim:
    """Write what a look-up found of a claim, which the transaction has locked."""
    values = {
        "domain": domain,
        "proven_at": proven_at,
        "missing_at": missing_since,
        "due_at": due_at,
        "now": now,
    }
    return _parse((await tx.rows(_CHECKED, values))[0])


async def delete_claim(tx: OrgTx, domain: str) -> bool:
    """Delete a claim; False if there is none."""
    return bool(await tx.rows(_DELETE, {"domain": domain}))


async def take_due(
    tx: FleetTx, now: datetime, *, again_at: datetime, most: int
) -> Sequence[tuple[OrgName, str]]:
    """Take (org, domain) of claims that are due; they are due again at ``again_at``."""
    values = {"now": now, "again_at": again_at, "most": most}
    rows = await tx.connection.execute(_TAKE, values)
    return [(OrgName(row.org), row.domain) for row in rows]


def _parse(row: Any) -> DomainClaim:
    return DomainClaim(
        domain=row.domain,
        role=row.role,
        challenge=row.challenge,
        created_by=row.created_by,
        created_at=row.created_at,
        checked_at=row.checked_at,
        proven_at=row.proven_at,
        missing_since=row.missing_since,
    )
