"""
Finds waits for equal actions that would never end, because they wait for each other.

An action that has reserved a key ends after its descendants, and these may wait for reservations in
turn. A wait closes a cycle if the reservation that it waits for needs, by any number of such steps,
an ancestor of the action that waits: a task that calls itself with equal inputs, or two that each
wait for a child of the other. The ancestors include every action with a reservation in the runs
that started the action's run: which of those waits for the run is not known.
"""

from collections.abc import Collection, Sequence

from controlplane.store.database import OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId

# The reservations of the ancestors of a waiter ``w``. The LIMITs inside keep the planner from joining
# in any other way than by the index.
_ABOVE = """
SELECT r.org, r.key, r.project, r.domain
FROM (
    WITH RECURSIVE up AS (
        SELECT a.id, a.parent_id FROM actions a WHERE a.org = {w}.org AND a.id = {w}.parent_id
      UNION ALL
        SELECT a.id, a.parent_id FROM up CROSS JOIN LATERAL (
            SELECT a.id, a.parent_id FROM actions a
            WHERE a.org = {w}.org AND a.id = up.parent_id LIMIT 1
        ) a
    )
    SELECT id FROM up
) u
CROSS JOIN LATERAL (
    SELECT * FROM cache_reservations r WHERE r.org = {w}.org AND r.action_id = u.id
    ORDER BY r.org, r.action_id LIMIT 1
) r
WHERE r.ended_at IS NULL
UNION ALL
SELECT r.org, r.key, r.project, r.domain
FROM (
    WITH RECURSIVE spawners AS (
        SELECT s.run_id, s.spawned_by FROM runs s WHERE s.org = {w}.org AND s.run_id = {w}.run_id
      UNION ALL
        SELECT s.run_id, s.spawned_by FROM spawners CROSS JOIN LATERAL (
            SELECT s.run_id, s.spawned_by FROM runs s
            WHERE s.org = {w}.org AND s.run_id = spawners.spawned_by LIMIT 1
        ) s
    )
    SELECT spawned_by AS run_id FROM spawners WHERE spawned_by IS NOT NULL
) s
CROSS JOIN LATERAL (
    SELECT * FROM cache_reservations r WHERE r.org = {w}.org AND r.run_id = s.run_id
    ORDER BY r.org, r.run_id LIMIT 1000
) r
WHERE r.ended_at IS NULL
"""

_THESE = f"""
{given(id="uuid")}, these AS MATERIALIZED (
    SELECT w.* FROM n CROSS JOIN LATERAL (
        SELECT * FROM cache_waiters w WHERE w.org = n.org AND w.action_id = n.id LIMIT 1
    ) w
)
"""

_BELOW_RESERVATIONS = statement(f"""
{_THESE}
SELECT t.action_id FROM these t
WHERE EXISTS (SELECT 1 FROM ({_ABOVE.format(w="t")}) above)
""")

# One transaction at a time, so that of two waits which close a cycle together one sees the other.
_LOCK = statement("SELECT pg_advisory_xact_lock(hashtext('volary cache waits'), hashtext(:org))")

_CYCLES = statement(f"""
{_THESE.replace("WITH n", "WITH RECURSIVE n")}, needing AS (
    SELECT t.action_id, o.org, o.key, o.project, o.domain
    FROM these t CROSS JOIN LATERAL ({_ABOVE.format(w="t")}) o
  UNION
    SELECT m.action_id, o.org, o.key, o.project, o.domain
    FROM needing m
    CROSS JOIN LATERAL (
        SELECT * FROM cache_waiters w
        WHERE w.org = m.org AND w.key = m.key AND w.project = m.project AND w.domain = m.domain
        ORDER BY w.org, w.key, w.project, w.domain, w.created_at, w.action_id
    ) w
    CROSS JOIN LATERAL ({_ABOVE.format(w="w")}) o
)
SELECT DISTINCT t.action_id FROM these t
JOIN needing m ON m.action_id = t.action_id AND m.key = t.key AND m.project = t.project
              AND m.domain = t.domain
""")


async def find_cycles(tx: OrgTx, waiters: Sequence[ActionId]) -> Collection[ActionId]:
    """
    Return those of these waiters, which this transaction has added, whose wait closes a cycle.

    One statement, unless an ancestor of one has a reservation, which is rare.
    """
    rows = await tx.rows(_BELOW_RESERVATIONS, {"id": sorted(waiters)})
    if not rows:
        return ()
    await tx.execute(_LOCK)
    rows = await tx.rows(_CYCLES, {"id": sorted(row.action_id for row in rows)})
    return {ActionId(row.action_id) for row in rows}
