"""Creates runs with many children in one statement; enqueueing them would take too long."""

from sqlalchemy import text

from controlplane.store.database import Database
from shared.model.ids import RunId
from tests.factories import NOW, ORG

_ACTIONS = text("""
INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, phase,
                     change, created_at, updated_at)
SELECT a.org, md5(a.id || '/' || n)::uuid, a.run_id, a.name || '-w' || lpad(n::text, 6, '0'), a.name,
       a.id, 1, a.spec, 'i', CASE WHEN n <= :ended THEN 5 ELSE 1 END, a.change + n, :now, :now
FROM actions a, generate_series(1, :count) n
WHERE a.org = :org AND a.run_id = :run_id AND a.name LIKE :parent
""")
_DISPATCHES = text("""
INSERT INTO dispatches (org, action_id, run_id, parent_id, attempt, enqueued_at, available_at)
SELECT c.org, c.id, c.run_id, p.id, 1, :now, :now
FROM actions p CROSS JOIN LATERAL (
    SELECT c.org, c.id, c.run_id FROM actions c
    WHERE c.org = p.org AND c.parent_id = p.id AND c.phase = 1
    ORDER BY c.org, c.parent_id, c.name LIMIT 1000000
) c
WHERE p.org = :org AND p.run_id = :run_id AND p.name LIKE :parent
ON CONFLICT DO NOTHING
""")
_COUNTER = text("UPDATE runs SET change = change + :count WHERE org = :org AND run_id = :run_id")


async def add_children(
    database: Database, run: RunId, count: int, *, parent: str = "a0", ended: int = 0
) -> None:
    """
    Add ``count`` children to an action, or to all actions whose names are LIKE ``parent``.

    The first ``ended`` have succeeded, the others wait.
    """
    values = {"run_id": run, "parent": parent, "count": count, "ended": ended, "now": NOW}
    async with database.for_org(ORG) as tx:
        for statement in (_ACTIONS, _DISPATCHES, _COUNTER):
            await tx.execute(statement, values)
