"""
Reads tracked runs and the actions that reports name; ``tracked_reports`` writes what reports change.

A tracked run is a run whose source is TRACKED; its actions are never dispatched. Each batch of
reports locks its run, as every change of actions does, and takes the same number of statements
however many reports it has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.core.actions import ActionType, RunSource
from controlplane.core.caching import CacheStatus
from controlplane.core.tracked_runs import PLACEHOLDER, TrackedAction, TrackedAttempt
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import Counters, lock_runs
from controlplane.store.phase_guards import is_live
from controlplane.store.rows import parse_enum, parse_failure
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, ActionName, RunId, RunKey
from shared.model.phases import Phase

_FIND = statement("""
SELECT run_id, source, created_by FROM runs
WHERE org = :org AND project = :project AND domain = :domain AND run = :run
""")

_RUN = statement("""
SELECT change, run_base, created_by, created_at FROM runs WHERE org = :org AND run_id = :run_id
""")

_ACTIONS = statement(f"""
{given(name="text")}
SELECT a.id, a.name, a.parent, a.type, a.spec, a.phase, a.attempts, a.started_at, a.ended_at,
       a.error_code, a.error_kind, a.error_message, a.error_recoverable, a.error_uri,
       a.output_uri, a.report_uri, a.cache_status
FROM n CROSS JOIN LATERAL (
    SELECT * FROM actions a
    WHERE a.org = n.org AND a.run_id = :run_id AND a.name = n.name LIMIT 1
) a
""")

_ATTEMPTS = statement(f"""
{given(action_id="uuid", number="integer")}
SELECT t.action_id, t.number, t.phase, t.version, t.leased_at, t.started_at, t.ended_at,
       t.error_code, t.error_kind, t.error_message, t.error_recoverable, t.error_uri,
       t.output_uri, t.report_uri
FROM n JOIN attempts t
  ON t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
""")

_ANCESTORS = statement(f"""
{given(name="text")}, known AS MATERIALIZED (
    SELECT n.name, a.parent_id FROM n CROSS JOIN LATERAL (
        SELECT a.parent_id FROM actions a
        WHERE a.org = n.org AND a.run_id = :run_id AND a.name = n.name LIMIT 1
    ) a
)
SELECT k.name, up.name AS above FROM known k CROSS JOIN LATERAL (
    WITH RECURSIVE up AS (
        SELECT a.name, a.parent_id FROM actions a WHERE a.org = :org AND a.id = k.parent_id
      UNION ALL
        SELECT a.name, a.parent_id FROM up
        CROSS JOIN LATERAL (
            SELECT a.name, a.parent_id FROM actions a
            WHERE a.org = :org AND a.id = up.parent_id LIMIT 1
        ) a
    )
    SELECT name FROM up
) up
""")

_EXPECT_REPORTS = statement(f"""
UPDATE actions SET due_at = :due_at
WHERE org = :org AND id = :run_id AND {is_live("phase")}
  AND (due_at IS NULL OR due_at < :unless_after_at)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedTrackedRun:
    """A tracked run that this transaction has locked."""

    id: RunId
    run_base: str
    created_by: str
    created_at: datetime
    change: int
    counters: Counters


async def find_tracked(tx: OrgTx, key: RunKey) -> tuple[RunId, str] | None:
    """Return the id and the creator of the tracked run with this name."""
    row = (
        await tx.execute(_FIND, {"project": key.project, "domain": key.domain, "run": key.name})
    ).one_or_none()
    if row is None or row.source != RunSource.TRACKED.value:
        return None
    return RunId(row.run_id), row.created_by


async def lock_tracked(tx: OrgTx, run: RunId) -> LockedTrackedRun:
    """Lock a run: until commit no other transaction changes its actions."""
    counters = await lock_runs(tx, [run])
    row = (await tx.execute(_RUN, {"run_id": run})).one()
    return LockedTrackedRun(
        id=run,
        run_base=row.run_base,
        created_by=row.created_by,
        created_at=row.created_at,
        change=row.change,
        counters=counters,
    )


async def read_actions(
    tx: OrgTx, run: RunId, names: Sequence[ActionName]
) -> dict[ActionName, TrackedAction]:
    """Return those of the named actions that exist."""
    await tx.plan_for(len(names))
    rows = await tx.rows(_ACTIONS, {"run_id": run, "name": list(names)})
    return {
        ActionName(row.name): TrackedAction(
            id=ActionId(row.id),
            name=ActionName(row.name),
            parent=None if row.parent is None else ActionName(row.parent),
            type=parse_enum(row.type, ActionType.UNKNOWN),
            is_placeholder=bytes(row.spec) == PLACEHOLDER.digest and row.parent is not None,
            phase=parse_enum(row.phase, Phase.UNKNOWN),
            attempts=row.attempts,
            started_at=row.started_at,
            ended_at=row.ended_at,
            failure=parse_failure(row),
            has_outputs=bool(row.output_uri),
            has_report=bool(row.report_uri),
            cache_status=parse_enum(row.cache_status, CacheStatus.DISABLED),
        )
        for row in rows
    }


async def read_attempts(
    tx: OrgTx, keys: Iterable[tuple[ActionId, ActionName, int]]
) -> dict[tuple[ActionName, int], TrackedAttempt]:
    """Return those of these attempts that exist: of actions with these ids, names and numbers."""
    names = {(action, number): name for action, name, number in keys}
    if not names:
        return {}
    rows = await tx.rows(
        _ATTEMPTS,
        {"action_id": [action for action, _ in names], "number": [number for _, number in names]},
    )
    return {
        (names[row.action_id, row.number], row.number): TrackedAttempt(
            number=row.number,
            phase=parse_enum(row.phase, Phase.UNKNOWN),
            version=row.version,
            began_at=row.leased_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            failure=parse_failure(row),
            has_outputs=bool(row.output_uri),
            has_report=bool(row.report_uri),
        )
        for row in rows
    }


async def read_ancestors(
    tx: OrgTx, run: RunId, names: Sequence[ActionName]
) -> Mapping[ActionName, frozenset[ActionName]]:
    """Return the names of the actions above each of these."""
    above: dict[ActionName, set[ActionName]] = {}
    for row in await tx.rows(_ANCESTORS, {"run_id": run, "name": list(names)}):
        above.setdefault(ActionName(row.name), set()).add(ActionName(row.above))
    return {name: frozenset(found) for name, found in above.items()}


async def expect_reports(tx: OrgTx, run: RunId, *, within: timedelta, now: datetime) -> None:
    """
    Let a live run be aborted unless it is reported again within this time.

    A run that is reported often is written only when a twentieth of the time has passed.
    """
    values = {
        "run_id": run,
        "due_at": now + within,
        "unless_after_at": now + within - within / 20,
    }
    await tx.execute(_EXPECT_REPORTS, values)
