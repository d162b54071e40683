"""Finds and locks triggers that are due, and writes how far each has come."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.core.firings import MOST_EXAMINED
from controlplane.core.triggers import DueTrigger, TriggerKey, TriggerRow
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.phase_guards import is_live
from controlplane.store.resources.specs import find_specs
from controlplane.store.resources.trigger_keys import KEYS, SAME_KEY, key_arrays, key_values
from controlplane.store.resources.triggers import PROGRESS, parse_trigger, progress_arrays
from controlplane.store.statements import given, not_deleted, only_one, statement
from shared.model.ids import Digest, DomainName, OrgName, ProjectName, RunId, RunName

_ORGS = statement(f"""
SELECT DISTINCT t.org FROM triggers t
WHERE t.wake_at IS NOT NULL AND t.wake_at <= :now AND {not_deleted("t.org")}
""")

_NEXT = statement("""
SELECT wake_at FROM triggers WHERE wake_at IS NOT NULL AND wake_at > :now ORDER BY wake_at LIMIT 1
""")

# The locked rows are few; their specs are joined only then. A trigger that another replica or a
# caller has locked is read again in the next pass.
_LOCK_DUE = statement(f"""
WITH due AS MATERIALIZED (
    SELECT t.* FROM triggers t
    WHERE t.org = :org AND t.wake_at IS NOT NULL AND t.wake_at <= :now AND {not_deleted("t.org")}
    ORDER BY t.org, t.wake_at LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
)
SELECT d.*, s.body AS spec_body, k.spec AS task_spec
FROM due d
CROSS JOIN LATERAL (
    SELECT s.body FROM specs s WHERE s.org = d.org AND s.digest = d.spec LIMIT 1
) s
LEFT JOIN LATERAL (
    SELECT k.spec FROM tasks k
    WHERE k.org = d.org AND k.project = d.project AND k.domain = d.domain
      AND k.name = d.task_name AND {only_one("k.version", "d.task_version")}
) k ON true
""")

_ADVANCE = statement(f"""
{given(**KEYS, **PROGRESS)}
UPDATE triggers t
SET triggered_at = n.triggered_at, fire_at = n.fire_at, wake_at = n.wake_at, late = n.late,
    skipped = n.skipped, error = n.error, error_at = n.error_at, firings = n.firings
FROM n WHERE {SAME_KEY}
""")

# The newest runs of each trigger, of which those are returned whose root has not ended.
_LIVE_RUNS = statement(f"""
{given(**KEYS)}
SELECT {", ".join(f"n.{name}" for name in KEYS)}, r.run_id, r.run
FROM n
CROSS JOIN LATERAL (
    SELECT r.run_id, r.run, r.created_at FROM runs r
    WHERE r.org = n.org AND r.project = n.project AND r.domain = n.domain
      AND r.trigger_task = n.task_name AND r.trigger_name = n.name AND r.trigger_name <> ''
    ORDER BY r.org, r.project, r.domain, r.trigger_task, r.trigger_name, r.created_at DESC, r.run_id
    LIMIT :most
) r
CROSS JOIN LATERAL (
    SELECT 1 FROM actions a WHERE a.org = n.org AND a.id = r.run_id AND {is_live("a.phase")} LIMIT 1
) a
ORDER BY r.created_at DESC
""")  # fmt: skip

_WAKE = statement("""
UPDATE triggers SET wake_at = fire_at
WHERE org = :org AND project = :project AND domain = :domain AND task_name = :task_name
  AND name = :name AND fire_at IS NOT NULL
""")

# Deleted triggers keep their revisions readable for a while; then their names begin again at 1.
_FORGET = statement("""
WITH gone AS (
    SELECT org, project, domain, task_name, name FROM triggers
    WHERE deleted_at IS NOT NULL AND deleted_at < :before_at
    ORDER BY deleted_at LIMIT :most FOR UPDATE SKIP LOCKED
), firings AS (
    DELETE FROM trigger_firings t USING gone n
    WHERE t.org = n.org AND t.project = n.project AND t.domain = n.domain
      AND t.task_name = n.task_name AND t.name = n.name
), revisions AS (
    DELETE FROM trigger_revisions t USING gone n
    WHERE t.org = n.org AND t.project = n.project AND t.domain = n.domain
      AND t.task_name = n.task_name AND t.name = n.name
)
DELETE FROM triggers t USING gone n
WHERE t.org = n.org AND t.project = n.project AND t.domain = n.domain
  AND t.task_name = n.task_name AND t.name = n.name
RETURNING t.org
""")


async def list_due_orgs(tx: FleetTx, now: datetime) -> Sequence[OrgName]:
    """List the orgs with triggers that are due."""
    rows = await tx.connection.execute(_ORGS, {"now": now})
    return sorted(OrgName(row.org) for row in rows)


async def find_next_wake(tx: FleetTx, now: datetime) -> datetime | None:
    """Return when the next trigger after ``now`` is due; None if none is."""
    row = (await tx.connection.execute(_NEXT, {"now": now})).one_or_none()
    return None if row is None else row.wake_at


async def lock_due(tx: OrgTx, now: datetime, *, most: int) -> Sequence[DueTrigger]:
    """Lock due triggers of the org that no other transaction has locked, the oldest instant first."""
    rows = await tx.rows(_LOCK_DUE, {"now": now, "most": most})
    digests = {Digest(row.task_spec) for row in rows if row.task_spec is not None}
    bodies = await find_specs(tx, digests) if digests else {}
    return [DueTrigger(parse_trigger(row), row.fire_at, bodies.get(row.task_spec)) for row in rows]


async def save_progress(tx: OrgTx, rows: Sequence[TriggerRow]) -> None:
    """Write what firing changed of triggers that this transaction has locked."""
    if rows:
        keys = key_arrays([row.key for row in rows])
        await tx.execute(_ADVANCE, {**keys, **progress_arrays(rows)})


async def find_live_runs(
    tx: OrgTx, keys: Sequence[TriggerKey]
) -> Mapping[TriggerKey, Sequence[tuple[RunId, RunName]]]:
    """Find runs that have not ended among the newest MOST_EXAMINED of each trigger, newest first."""
    if not keys:
        return {}
    found: dict[TriggerKey, list[tuple[RunId, RunName]]] = {}
    for row in await tx.rows(_LIVE_RUNS, {**key_arrays(keys), "most": MOST_EXAMINED}):
        key = TriggerKey(ProjectName(row.project), DomainName(row.domain), row.task_name, row.name)
        found.setdefault(key, []).append((RunId(row.run_id), RunName(row.run)))
    return found


async def wake(tx: OrgTx, key: TriggerKey) -> None:
    """Let a trigger that is tried again later be tried now."""
    await tx.execute(_WAKE, key_values(key))


async def forget_deleted(tx: FleetTx, before: datetime, *, most: int) -> int:
    """Delete triggers that were deleted before ``before``, with their revisions; return how many."""
    found = await tx.connection.execute(_FORGET, {"before_at": before, "most": most})
    return len(found.all())
