"""Deletes entries of the result cache that no action has used for long, in pages."""

from datetime import datetime

from controlplane.store.database import FleetTx
from controlplane.store.statements import statement

PAGE = 1_000

# Skips entries that a report or a hit has locked: they are in use, or left to the next pass.
_DELETE = statement(f"""
WITH unused AS MATERIALIZED (
    SELECT org, key, project, domain FROM cache_entries WHERE hit_at < :before
    ORDER BY hit_at LIMIT {PAGE} FOR UPDATE SKIP LOCKED
)
DELETE FROM cache_entries e USING unused u
WHERE e.org = u.org AND e.key = u.key AND e.project = u.project AND e.domain = u.domain
""")


async def delete_unused_entries(tx: FleetTx, before: datetime) -> int:
    """Delete a page of the entries last used before this; return how many."""
    return (await tx.connection.execute(_DELETE, {"before": before})).rowcount
