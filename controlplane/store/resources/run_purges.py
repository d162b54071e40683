"""
Deletes ended runs: begins the deletion of those that nothing holds, and deletes their rows in pages.

``runs.purging_since`` is set in the transaction that found no hold, under the lock of the run; from
then on nothing may come to need the run (``dispatch.run_holds``), and its objects and rows are deleted.
The row of the run goes last, so a purge that stopped goes on, and the name stays taken until the end.
Events go with their day, specs stay: other runs share them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from controlplane.core.run_holds import RunRetention
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch.run_holds import find_holds
from controlplane.store.phase_guards import has_ended
from controlplane.store.resources.artifact_uses import delete_uses
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, not_deleted, statement
from shared.model.ids import ActionId, DomainName, OrgName, ProjectName, RunId, RunKey, RunName
from shared.model.phases import Phase

ROWS_PAGE = 1_000
"""Actions whose rows one transaction deletes."""

_ORGS = statement(f"""
SELECT o.org FROM orgs o WHERE o.org > :after AND {not_deleted("o.org")} ORDER BY o.org LIMIT :most
""")

# In the order of creation: ids begin with their time.
_OLD = statement("""
SELECT run_id FROM runs
WHERE org = :org AND run_id > :after AND run_id < :until AND purging_since IS NULL
ORDER BY org, run_id LIMIT :most
""")

_LOCK = f"""
{given(run_id="uuid")}
SELECT r.run_id, r.project, r.domain, r.run
FROM n
JOIN runs r ON r.org = n.org AND r.run_id = n.run_id
JOIN actions a ON a.org = n.org AND a.id = n.run_id
WHERE r.purging_since IS NULL AND {has_ended("a.phase")} AND a.ended_at < :before_at
  AND (SELECT true FROM cascades c WHERE c.org = n.org AND c.run_id = n.run_id
       ORDER BY c.org, c.run_id LIMIT 1) IS NULL
ORDER BY r.run_id FOR UPDATE OF r"""
_LOCK_ALL, _LOCK_FREE = statement(_LOCK), statement(f"{_LOCK} SKIP LOCKED")

_BEGIN = statement(f"""
{given(run_id="uuid")}
UPDATE runs r SET purging_since = :now FROM n WHERE r.org = n.org AND r.run_id = n.run_id
""")

_RETENTION = statement("""
SELECT r.run_id, a.phase, a.ended_at, r.purging_since
FROM runs r JOIN actions a ON a.org = r.org AND a.id = r.run_id
WHERE r.org = :org AND r.project = :project AND r.domain = :domain AND r.run = :run
""")

_PURGING = statement("""
SELECT org, run_id, project, domain, run, run_base FROM runs
WHERE purging_since IS NOT NULL AND (org, run_id) > (:after_org, :after)
ORDER BY org, run_id LIMIT :most
""")

_ACTIONS = statement("""
SELECT id, name FROM actions
WHERE org = :org AND run_id = :run_id AND name > :after ORDER BY org, run_id, name LIMIT :most
""")

_DELETE_ATTEMPTS = statement(f"""
{given(id="uuid")}
DELETE FROM attempts t USING n WHERE t.org = n.org AND t.action_id = n.id
""")
_DELETE_PHASE_EVENTS = statement(f"""
{given(id="uuid")}
DELETE FROM phase_events e USING n WHERE e.org = n.org AND e.action_id = n.id
""")
_DELETE_ACTIONS = statement(f"""
{given(id="uuid")}
DELETE FROM actions a USING n WHERE a.org = n.org AND a.id = n.id
""")
_DELETE_RUN = statement("""
DELETE FROM runs WHERE org = :org AND run_id = :run_id AND purging_since IS NOT NULL
RETURNING run_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgingRun:
    """A run whose data is being deleted."""

    org: OrgName
    id: RunId
    key: RunKey
    run_base: str


async def list_orgs(tx: FleetTx, *, after: str, most: int) -> Sequence[OrgName]:
    """List orgs that are not deleted, by name."""
    rows = await tx.connection.execute(_ORGS, {"after": after, "most": most})
    return [OrgName(row.org) for row in rows]


async def list_old(tx: OrgTx, *, after: UUID, until: UUID, most: int) -> Sequence[RunId]:
    """List runs created before, in the order of their ids; ``until``: the first id not to list."""
    rows = await tx.rows(_OLD, {"after": after, "until": until, "most": most})
    return [RunId(row.run_id) for row in rows]


async def begin_purges(
    tx: OrgTx,
    runs: Collection[RunId],
    *,
    ended_before: datetime,
    now: datetime,
    skip_locked: bool = True,
) -> Mapping[RunId, RunKey]:
    """Begin to delete those of these runs that ended before and that nothing holds; return them."""
    if not runs:
        return {}
    rows: Sequence[Any] = await tx.rows(
        _LOCK_FREE if skip_locked else _LOCK_ALL,
        {"run_id": sorted(runs), "before_at": ended_before},
    )
    locked = {RunId(row.run_id): _key(row) for row in rows}
    held = await find_holds(tx, locked)
    begun = {run: key for run, key in locked.items() if run not in held}
    if begun:
        await tx.execute(_BEGIN, {"run_id": list(begun), "now": now})
    return begun


async def find_retention(tx: OrgTx, key: RunKey) -> tuple[RunId, RunRetention] | None:
    """Return what is known of the deletion of a run, and what holds it; None: no such run."""
    values = {"project": key.project, "domain": key.domain, "run": key.name}
    row: Any = (await tx.execute(_RETENTION, values)).one_or_none()
    if row is None:
        return None
    run = RunId(row.run_id)
    holds = {} if row.purging_since else await find_holds(tx, {run: key})
    return run, RunRetention(
        run=key,
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        ended_at=row.ended_at,
        expires_at=None,
        purging_since=row.purging_since,
        holds=holds.get(run, ()),
    )


async def list_purging(tx: FleetTx, *, after: tuple[str, UUID], most: int) -> Sequence[PurgingRun]:
    """List runs whose data is being deleted, by org and id."""
    rows = await tx.connection.execute(
        _PURGING, {"after_org": after[0], "after": after[1], "most": most}
    )
    return [
        PurgingRun(org=OrgName(row.org), id=RunId(row.run_id), key=_key(row), run_base=row.run_base)
        for row in rows
    ]


async def list_actions(
    tx: OrgTx, run: RunId, *, after: str, most: int = ROWS_PAGE
) -> Sequence[tuple[ActionId, str]]:
    """List the ids and names of a run's actions, by name."""
    rows = await tx.rows(_ACTIONS, {"run_id": run, "after": after, "most": most})
    return [(ActionId(row.id), row.name) for row in rows]


async def delete_actions(tx: OrgTx, actions: Sequence[ActionId]) -> None:
    """Delete actions with their attempts, and the events that were to be reported."""
    await tx.plan_for(len(actions))
    for delete in (_DELETE_ATTEMPTS, _DELETE_PHASE_EVENTS, _DELETE_ACTIONS):
        await tx.execute(delete, {"id": list(actions)})


async def delete_run(tx: OrgTx, run: RunId) -> bool:
    """Delete the row of a run that is being purged, with its root; False if it is gone."""
    if not await tx.rows(_DELETE_RUN, {"run_id": run}):
        return False
    await delete_actions(tx, [ActionId(run)])
    await delete_uses(tx, run)
    return True


def _key(row: Any) -> RunKey:
    return RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run))
