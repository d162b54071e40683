"""
Writes and reads what people note on runs: that they are archived, and that they are held.

A hold takes the lock of the run that a purge takes before it looks for holds (``dispatch.run_holds``),
so either the purge sees the hold, or the hold finds that the purge began.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from controlplane.core.run_states import RunMarks
from controlplane.store.database import OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import RunId

# Ordered by the unique index: equalities would seem as cheap by another one while there are no statistics.
_FIND = statement(f"""
{given(run="text")}
SELECT r.run_id, r.run FROM n CROSS JOIN LATERAL (
    SELECT r.run_id, r.project, r.domain, r.run FROM runs r
    WHERE r.org = n.org AND (r.project, r.domain, r.run) >= (:project, :domain, n.run)
    ORDER BY r.org, r.project, r.domain, r.run LIMIT 1
) r
WHERE r.project = :project AND r.domain = :domain AND r.run = n.run
ORDER BY r.run_id
""")

_LOCK = statement(f"""
{given(run_id="uuid")}
SELECT r.run_id FROM runs r JOIN n ON r.org = n.org AND r.run_id = n.run_id
ORDER BY r.run_id FOR NO KEY UPDATE OF r
""")

_ARCHIVE = statement(f"""
{given(run_id="uuid")}
UPDATE runs r SET archived_at = :now, archived_by = :by
FROM n WHERE r.org = n.org AND r.run_id = n.run_id AND r.archived_at IS NULL
RETURNING r.run
""")
_RESTORE = statement(f"""
{given(run_id="uuid")}
UPDATE runs r SET archived_at = NULL, archived_by = NULL
FROM n WHERE r.org = n.org AND r.run_id = n.run_id AND r.archived_at IS NOT NULL
RETURNING r.run
""")

_HOLD = statement("""
UPDATE runs SET held_by = :by, hold_reason = :reason
WHERE org = :org AND run_id = :run_id AND purging_since IS NULL
RETURNING run_id
""")
_RELEASE = statement("""
UPDATE runs SET held_by = NULL, hold_reason = NULL
WHERE org = :org AND run_id = :run_id AND held_by IS NOT NULL
RETURNING run_id
""")

_MARKS = statement(f"""
{given(run_id="uuid")}
SELECT n.run_id, r.archived_at, r.archived_by, r.held_by IS NOT NULL AS held
FROM n JOIN runs r ON r.org = n.org AND r.run_id = n.run_id
WHERE r.archived_at IS NOT NULL OR r.held_by IS NOT NULL
""")


async def find_runs(
    tx: OrgTx, project: str, domain: str, names: Collection[str]
) -> Mapping[str, RunId]:
    """Return the ids of the runs of these names; those that do not exist lack."""
    values = {"project": project, "domain": domain, "run": list(names)}
    return {row.run: RunId(row.run_id) for row in await tx.rows(_FIND, values)}


async def archive(tx: OrgTx, runs: Collection[RunId], *, by: str, now: datetime) -> list[str]:
    """Archive runs; return the names of those that were active."""
    await tx.rows(_LOCK, {"run_id": list(runs)})
    rows = await tx.rows(_ARCHIVE, {"run_id": list(runs), "by": by, "now": now})
    return sorted(row.run for row in rows)


async def restore(tx: OrgTx, runs: Collection[RunId]) -> list[str]:
    """Make runs active; return the names of those that were archived."""
    await tx.rows(_LOCK, {"run_id": list(runs)})
    return sorted(row.run for row in await tx.rows(_RESTORE, {"run_id": list(runs)}))


async def hold(tx: OrgTx, run: RunId, *, by: str, reason: str) -> bool:
    """Hold a run until it is released; False: it is being deleted."""
    values = {"run_id": run, "by": by, "reason": reason}
    return bool(await tx.rows(_HOLD, values))


async def release(tx: OrgTx, run: RunId) -> bool:
    """End the hold of a person; False: there is none."""
    return bool(await tx.rows(_RELEASE, {"run_id": run}))


async def find_marks(tx: OrgTx, runs: Collection[RunId]) -> Mapping[RunId, RunMarks]:
    """Return what is noted on these runs; those without a note lack."""
    return {
        RunId(row.run_id): RunMarks(
            archived_at=row.archived_at, archived_by=row.archived_by or "", held=row.held
        )
        for row in await tx.rows(_MARKS, {"run_id": list(runs)})
    }
