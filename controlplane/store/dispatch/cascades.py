"""
Ends the live descendants of actions that ended, in pages of at most 1,000 actions.

An action that ends takes its live descendants with it. What fits one page ends in the same
transaction. Otherwise that transaction leaves a marker in ``cascades``, and the cascade loop
ends the descendants in transactions of one page each, as it does when another transaction
holds a lock on one of them. So the ancestors of a live action are live, or one of them has a
marker.

From the commit of a marker nothing below it starts: claims skip runs that have a
marker, enqueues refuse a parent below one, and a lease below one is never confirmed.
Markers of a run are written and deleted under the run's lock only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.core.queues import ANY_POOL
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch.reservations import end_reservations
from controlplane.store.notify.changes import Counters, lock_runs, notify
from controlplane.store.phase_guards import is_live, unestimated
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, OrgName, RunId
from shared.model.phases import Phase

PAGE = 1_000
"""The maximum number of actions that one transaction ends."""
EXAMINED = 10_000
"""The approximate maximum of children, live or ended, that one transaction examines."""

PARENT_ENDED = "its parent action ended"

# Each parent's children from a name on, by the one index that has them in this order; the
# LIMIT inside keeps the planner from joining in any other way. Whether a child has children
# of its own is a scalar subquery, because an EXISTS may be planned as a scan of the table, and
# in the order of that index, because a LIMIT alone may be planned as a scan that ends early.
_CHILDREN = statement(f"""
SELECT n.ord, c.id, c.name, {is_live("c.phase")} AS live,
       CASE WHEN {is_live("c.phase")} THEN (
           SELECT true FROM actions g WHERE g.org = :org AND g.parent_id = c.id
           ORDER BY g.org, g.parent_id, g.name LIMIT 1
       ) END AS has_children
FROM unnest(CAST(:id AS uuid[]), CAST(:past AS text[])) WITH ORDINALITY AS n (id, past, ord)
CROSS JOIN LATERAL (
    SELECT c.id, c.name, c.phase FROM actions c
    WHERE c.org = :org AND c.parent_id = n.id AND c.name > n.past
    ORDER BY c.org, c.parent_id, c.name LIMIT :most
) c
ORDER BY n.ord, c.name LIMIT :most
""")

_ABORT = statement(f"""
{given(id="uuid", change="bigint", reason="text", by="text")}
UPDATE actions a
SET phase = {Phase.ABORTED.value}, ended_at = :now, updated_at = :now, change = n.change,
    abort_reason = n.reason, aborted_by = n.by
FROM n WHERE a.org = n.org AND a.id = n.id AND {unestimated(is_live("a.phase"))}
RETURNING a.id, a.cache_serialized
""")

_DROP_WAITING = statement(f"""
{given(id="uuid")}
DELETE FROM dispatches d USING n
WHERE d.org = n.org AND d.action_id = n.id AND {unestimated("d.lease_id IS NULL")}
""")

_STOP_LEASED = statement(f"""
{given(id="uuid", reason="text")}
UPDATE dispatches d
SET stop_reason = COALESCE(d.stop_reason, n.reason), stop_at = COALESCE(d.stop_at, :now)
FROM n WHERE d.org = n.org AND d.action_id = n.id
RETURNING d.cluster
""")

_LOCK = f"""
{given(id="uuid")}
SELECT d.action_id FROM n JOIN dispatches d ON d.org = n.org AND d.action_id = n.id
ORDER BY d.action_id FOR UPDATE OF d
"""
_LOCK_DISPATCHES = statement(_LOCK)
_LOCK_FREE_DISPATCHES = statement(f"{_LOCK} SKIP LOCKED")
_LIST_DISPATCHES = statement(_LOCK.replace("FOR UPDATE OF d", ""))

_MARK = statement(f"""
{given(run_id="uuid", action_id="uuid", past="text", reason="text", by="text")}
INSERT INTO cascades (org, run_id, action_id, past, reason, aborted_by, created_at)
SELECT n.org, n.run_id, n.action_id, n.past, n.reason, n.by, :now FROM n
ON CONFLICT (org, run_id, action_id) DO UPDATE SET past = EXCLUDED.past
""")

_UNMARK = statement(f"""
{given(run_id="uuid", action_id="uuid")}
DELETE FROM cascades m USING n
WHERE m.org = n.org AND m.run_id = n.run_id AND m.action_id = n.action_id
""")

_TAKE_MARKERS = statement("""
SELECT action_id, past, reason, aborted_by FROM cascades
WHERE org = :org AND run_id = :run_id
ORDER BY org, run_id, action_id LIMIT :most FOR UPDATE SKIP LOCKED
""")

_ANY_MARKER = statement("SELECT 1 FROM cascades WHERE org = :org AND run_id = :run_id LIMIT 1")

_RUNS = statement("""
SELECT DISTINCT org, run_id FROM cascades
WHERE (org, run_id) > (:after_org, CAST(:after_run AS uuid)) ORDER BY org, run_id LIMIT :most
""")


def above(org: str, run: str, action: str) -> str:
    """
    Return SQL for the reason of the marker on an action or its ancestors; a scalar or NULL.

    Ancestors are searched only where the run has a marker, which is rare.
    """
    return f"""(
        SELECT m.reason FROM cascades m WHERE m.org = {org} AND m.run_id = {run}
          AND m.action_id IN (
            WITH RECURSIVE up AS (
                SELECT a.id, a.parent_id FROM actions a WHERE a.org = {org} AND a.id = {action}
              UNION ALL
                SELECT a.id, a.parent_id FROM up
                CROSS JOIN LATERAL (
                    SELECT a.id, a.parent_id FROM actions a
                    WHERE a.org = {org} AND a.id = up.parent_id LIMIT 1
                ) a
            )
            SELECT id FROM up
        ) LIMIT 1)"""


def no_marker(org: str, run: str) -> str:
    """Return SQL for "this run has no cascade under way", the condition for leasing any of it."""
    return f"NOT EXISTS (SELECT 1 FROM cascades m WHERE m.org = {org} AND m.run_id = {run})"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedParent:
    """An ended action whose descendants must end, with the reason."""

    id: ActionId
    run: RunId
    reason: str
    by: str = ""
    past: str = ""  # children up to this name have been ended


@dataclass(frozen=True, slots=True)
class Cascade:
    """The result of ending descendants in one transaction."""

    ended: int = 0
    stops: Sequence[str] = ()  # clusters that have an attempt to stop
    is_marked: bool = False  # a marker was left: the cascade loop ends the rest
    wakes_waiters: bool = False  # equal actions wait for one that ended


@dataclass(frozen=True, slots=True)
class _Branch:
    """A parent whose children are still to be read, and the ended action it descends from."""

    parent: EndedParent
    root: ActionId


async def end_with_descendants(
    tx: OrgTx, counters: Counters, actions: Sequence[EndedParent], now: datetime
) -> Cascade:
    """
    Abort live actions and their descendants: now if they fit a page, else by the cascade loop.

    The transaction must not have locked dispatches yet.
    """
    found, wide = await _find_few(tx, actions)
    doomed = [*actions, *(branch.parent for branch in found)]
    await _mark(tx, wide, now)
    stops, wakes = await _end_all(tx, counters, doomed, now)
    return Cascade(ended=len(doomed), stops=stops, is_marked=bool(wide), wakes_waiters=wakes)


async def end_descendants(
    tx: OrgTx, counters: Counters, parents: Sequence[EndedParent], now: datetime
) -> Cascade:
    """
    Abort the descendants of ended actions: now if they fit a page, else by the cascade loop.

    The transaction has locked other dispatches already, so it does not wait for locks on
    these, which would break the lock order: if another holds one, the loop ends them.
    """
    if not parents:
        return Cascade()
    found, wide = await _find_few(tx, parents)
    few = [branch.parent for branch in found]
    if few and not await _lock_free(tx, few):
        remaining = {branch.root for branch in found} | {parent.id for parent in wide}
        few, wide = [], [parent for parent in parents if parent.id in remaining]
    await _mark(tx, wide, now)
    stops, wakes = await _end_all(tx, counters, few, now)
    return Cascade(ended=len(few), stops=stops, is_marked=bool(wide), wakes_waiters=wakes)


async def _end_all(
    tx: OrgTx, counters: Counters, actions: Sequence[EndedParent], now: datetime
) -> tuple[Sequence[str], bool]:
    """
    Abort these live actions, in this order.

    Returns the clusters that have attempts to stop, and whether equal actions wait for one.
    """
    if not actions:
        return (), False
    await tx.plan_for(len(actions))
    await lock_dispatches(tx, [each.id for each in actions])
    rows = await tx.rows(
        _ABORT,
        {
            "id": [each.id for each in actions],
            "change": [counters.next(each.run) for each in actions],
            "reason": [each.reason for each in actions],
            "by": [each.by for each in actions],
            "now": now,
        },
    )
    stops = await release(tx, {each.id: each.reason for each in actions}, now)
    serialized = {ActionId(row.id) for row in rows if row.cache_serialized}
    return stops, await end_reservations(tx, serialized, now)


async def lock_dispatches(tx: OrgTx, actions: Sequence[ActionId]) -> None:
    """SELECT … FOR UPDATE the dispatches of these actions by action id, the global lock order."""
    await tx.execute(_LOCK_DISPATCHES, {"id": sorted(actions)})


async def release(tx: OrgTx, reasons: Mapping[ActionId, str], now: datetime) -> Sequence[str]:
    """
    Delete the waiting dispatches of ended actions and mark the leased ones with a stop.

    Returns the clusters that have attempts to stop.
    """
    ids = sorted(reasons)
    await tx.execute(_DROP_WAITING, {"id": ids})
    rows = await tx.rows(
        _STOP_LEASED, {"id": ids, "reason": [reasons[each] for each in ids], "now": now}
    )
    return sorted({row.cluster for row in rows})


async def list_cascading(
    tx: FleetTx, after: tuple[OrgName, RunId], *, most: int
) -> Sequence[tuple[OrgName, RunId]]:
    """List the runs that have a marker, by org and id, from after ``after`` on."""
    org, run = after
    rows = await tx.connection.execute(_RUNS, {"after_org": org, "after_run": run, "most": most})
    return [(OrgName(row.org), RunId(row.run_id)) for row in rows.all()]


async def end_page(tx: OrgTx, run: RunId, now: datetime) -> int | None:
    """End a page of a run's cascade; return the number ended, None if another replica does so."""
    rows = await tx.rows(_TAKE_MARKERS, {"run_id": run, "most": PAGE})
    if not rows:
        return None
    parents = [
        EndedParent(
            id=ActionId(row.action_id),
            run=run,
            reason=row.reason,
            by=row.aborted_by,
            past=row.past,
        )
        for row in rows
    ]
    counters = await lock_runs(tx, [run])
    found, rest = await _find_live(tx, parents)
    doomed = [branch.parent for branch in found]
    stops, wakes = await _end_all(tx, counters, doomed, now)
    remaining = {branch.parent.id: branch.parent for branch in rest}
    before = set(parents)
    await _mark(tx, [parent for parent in remaining.values() if parent not in before], now)
    done = [parent.id for parent in parents if parent.id not in remaining]
    await tx.execute(_UNMARK, {"run_id": [run] * len(done), "action_id": done})
    over = not remaining and not await tx.rows(_ANY_MARKER, {"run_id": run})
    work = [ANY_POOL] if over else []
    await notify(tx, counters, work=work, stops=stops, reservations=wakes)
    return len(doomed)


async def _find_few(
    tx: OrgTx, parents: Sequence[EndedParent]
) -> tuple[Sequence[_Branch], Sequence[EndedParent]]:
    """Find the live descendants of ``parents``; return them and the parents with more than fit."""
    found, rest = await _find_live(tx, parents)
    wide = {branch.root for branch in rest}
    return (
        [branch for branch in found if branch.root not in wide],
        [parent for parent in parents if parent.id in wide],
    )


async def _find_live(
    tx: OrgTx, parents: Sequence[EndedParent]
) -> tuple[Sequence[_Branch], Sequence[_Branch]]:
    """
    Find up to a page of live descendants of ``parents``, from the top down.

    Returns them, and the remaining parents with the position up to which each was read.
    """
    found: list[_Branch] = []
    left = [_Branch(parent, parent.id) for parent in parents]
    examined = 0
    while left and examined < EXAMINED:
        level, later = left[:PAGE], left[PAGE:]
        most = PAGE + 1
        rows = await tx.rows(
            _CHILDREN,
            {
                "id": [branch.parent.id for branch in level],
                "past": [branch.parent.past for branch in level],
                "most": most,
            },
        )
        examined += len(rows)
        below: list[_Branch] = []
        read = (0, "")  # the last child taken: its parent's index in the level, its name
        for row in rows:
            branch = level[row.ord - 1]
            if row.live and len(found) == PAGE:
                return found, [*_from(level, row.ord, read), *later, *below]
            if row.live:
                child = replace(branch.parent, id=ActionId(row.id), past="")
                found.append(_Branch(child, branch.root))
                if row.has_children:
                    below.append(found[-1])
            read = (row.ord, row.name)
        unread = _from(level, read[0], read) if len(rows) == most else []
        left = [*unread, *later, *below]
    return found, left


def _from(level: Sequence[_Branch], at: int, read: tuple[int, str]) -> list[_Branch]:
    """Return the branches of a level that are unread; the first may be read in part."""
    first = level[at - 1]
    if read[0] == at:
        first = _Branch(replace(first.parent, past=read[1]), first.root)
    return [first, *level[at:]]


async def _lock_free(tx: OrgTx, actions: Sequence[EndedParent]) -> bool:
    """Lock the dispatches of these without waiting; False if another transaction holds one."""
    await tx.plan_for(len(actions))
    ids = {"id": sorted(each.id for each in actions)}
    there = await tx.rows(_LIST_DISPATCHES, ids)
    return len(await tx.rows(_LOCK_FREE_DISPATCHES, ids)) >= len(there)


async def _mark(tx: OrgTx, parents: Sequence[EndedParent], now: datetime) -> None:
    if parents:
        await tx.execute(
            _MARK,
            {
                "run_id": [parent.run for parent in parents],
                "action_id": [parent.id for parent in parents],
                "past": [parent.past for parent in parents],
                "reason": [parent.reason for parent in parents],
                "by": [parent.by for parent in parents],
                "now": now,
            },
        )
