"""
Lets waiters of ended reservations go on: gives them an entry's outputs, or lets the oldest run.

Locks runs, queues and the reservation, in the global lock order. While the reservation is locked
no other transaction adds a waiter to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.caching import CacheCheck, CacheEntry, CacheRequest, CacheStatus
from controlplane.core.queues import DEFAULT, Queue
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch.caching import Lookup, find_entries, touch_entries
from controlplane.store.dispatch.reservations import leave
from controlplane.store.notify.changes import Counters, lock_free_runs, lock_runs, notify
from controlplane.store.phase_guards import has_ended, unestimated
from controlplane.store.resources.queues import lock_queues
from controlplane.store.rows import render_source, run_of_source
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, DomainName, OrgName, ProjectName, RunId, RunKey, RunName
from shared.model.phases import Phase

PAGE = 500
"""Waiters that one transaction lets go on."""

_OF = "w.org = :org AND w.key = :key AND w.project = :project AND w.domain = :domain"
_KEY = "org = :org AND key = :key AND project = :project AND domain = :domain"

_LIST_ENDED = statement("""
SELECT org, key, project, domain FROM cache_reservations
WHERE ended_at IS NOT NULL AND (org, key, project, domain) > (:org, :key, :project, :domain)
ORDER BY org, key, project, domain LIMIT :most
""")

# The previous release ends actions without their reservations.
_MARK_ENDED = statement(f"""
WITH page AS MATERIALIZED (
    SELECT org, key, project, domain, action_id FROM cache_reservations
    WHERE (org, key, project, domain) > (:org, :key, :project, :domain)
    ORDER BY org, key, project, domain LIMIT :most
), ended AS MATERIALIZED (
    SELECT r.org, r.key, r.project, r.domain
    FROM page p
    LEFT JOIN LATERAL (
        SELECT a.phase FROM actions a WHERE a.org = p.org AND a.id = p.action_id LIMIT 1
    ) a ON true
    JOIN cache_reservations r ON r.org = p.org AND r.key = p.key AND r.project = p.project
     AND r.domain = p.domain AND r.action_id = p.action_id AND r.ended_at IS NULL
    WHERE a.phase IS NULL OR {has_ended("a.phase")}
    ORDER BY r.org, r.key, r.project, r.domain FOR UPDATE OF r SKIP LOCKED
), marked AS (
    UPDATE cache_reservations r SET ended_at = :now FROM ended e
    WHERE r.org = e.org AND r.key = e.key AND r.project = e.project AND r.domain = e.domain
)
SELECT p.org, p.key, p.project, p.domain, (SELECT count(*) FROM ended) AS ended
FROM page p ORDER BY p.org DESC, p.key DESC, p.project DESC, p.domain DESC LIMIT 1
""")

# A waiter's parent may have the slot that the first one needs: the limit then never lets it start.
_LIST_BLOCKED = statement("""
SELECT r.org, r.key, r.project, r.domain, b.blocked
FROM (
    SELECT * FROM cache_reservations r
    WHERE r.waited AND r.ended_at IS NULL
      AND (r.org, r.key, r.project, r.domain) > (:org, :key, :project, :domain)
    ORDER BY r.org, r.key, r.project, r.domain LIMIT :most
) r
LEFT JOIN LATERAL (
    SELECT true AS blocked FROM dispatches d
    WHERE d.org = r.org AND d.action_id = r.action_id AND d.lease_id IS NULL AND d.limited
      AND d.available_at < :before_at LIMIT 1
) b ON true
ORDER BY r.org, r.key, r.project, r.domain
""")

_LIST_WAITERS = statement(f"""
SELECT w.action_id, w.run_id, w.max_age, w.has_outputs, w.queue, r.project, r.domain, r.run
FROM (
    SELECT * FROM cache_waiters w WHERE {_OF}
    ORDER BY w.org, w.key, w.project, w.domain, w.created_at, w.action_id LIMIT :most
) w
CROSS JOIN LATERAL (
    SELECT * FROM runs r WHERE r.org = w.org AND r.run_id = w.run_id LIMIT 1
) r
ORDER BY w.created_at, w.action_id
""")

_LOCK_ENDED = statement(f"""
SELECT 1 FROM cache_reservations WHERE {_KEY} AND ended_at IS NOT NULL FOR UPDATE SKIP LOCKED
""")

_STILL_WAIT = statement(f"""
{given(id="uuid")}
SELECT w.action_id FROM n JOIN cache_waiters w ON w.org = n.org AND w.action_id = n.id
""")

_HIT = statement(f"""
{given(id="uuid", change="bigint", output_uri="text", cached_from="jsonb")}
UPDATE actions a
SET phase = {Phase.SUCCEEDED.value}, started_at = :now, ended_at = :now, updated_at = :now,
    due_at = NULL, change = n.change, output_uri = n.output_uri,
    cache_status = {CacheStatus.HIT.value}, cached_from = n.cached_from,
    cached_run = {run_of_source("n.cached_from")}
FROM n
WHERE a.org = n.org AND a.id = n.id AND {unestimated(f"a.phase = {Phase.QUEUED.value}")}
""")

_DISPATCH = statement(f"""
INSERT INTO dispatches (org, action_id, run_id, parent_id, is_root, attempt, queue, pool, priority,
                        limited, enqueued_at, available_at)
SELECT w.org, w.action_id, w.run_id, w.parent_id, w.parent_id IS NULL, 1, :queue, :pool, :priority,
       :limited OR r.max_action_concurrency > 0, :now, :now
FROM cache_waiters w
JOIN actions a ON a.org = w.org AND a.id = w.action_id AND a.phase = {Phase.QUEUED.value}
JOIN runs r ON r.org = w.org AND r.run_id = w.run_id
WHERE w.org = :org AND w.action_id = :id
RETURNING pool
""")

_RESERVE = statement(f"""
UPDATE cache_reservations
SET action_id = :id, run_id = :run_id, created_at = :now, ended_at = NULL,
    waited = EXISTS (SELECT 1 FROM cache_waiters w WHERE {_OF})
WHERE {_KEY}
""")

_GIVE_UP = statement(f"""
DELETE FROM cache_reservations
WHERE {_KEY} AND NOT EXISTS (SELECT 1 FROM cache_waiters w WHERE {_OF})
RETURNING 1
""")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reservation:
    """The key of a reservation."""

    org: OrgName
    key: str
    project: ProjectName
    domain: DomainName

    def values(self) -> dict[str, object]:
        return {"key": self.key, "project": self.project, "domain": self.domain}


START = Reservation(org=OrgName(""), key="", project=ProjectName(""), domain=DomainName(""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """An action that waits for the end of an equal one."""

    lookup: Lookup
    run: RunId
    queue: str

    @property
    def id(self) -> ActionId:
        return self.lookup.id


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """The result of one transaction."""

    went_on: int  # waiters that got outputs, or run now
    is_over: bool  # the reservation is gone, or another action has it


async def list_ended(fleet: FleetTx, after: Reservation, *, most: int) -> Sequence[Reservation]:
    """List ended reservations with waiters, in the order of their keys, from after ``after`` on."""
    rows = await fleet.connection.execute(
        _LIST_ENDED, {"org": after.org, **after.values(), "most": most}
    )
    return [
        Reservation(org=row.org, key=row.key, project=row.project, domain=row.domain)
        for row in rows.all()
    ]


async def mark_ended(
    fleet: FleetTx, after: Reservation, now: datetime, *, most: int
) -> tuple[int, Reservation | None]:
    """Mark a page of reservations whose action has ended; return how many, and where to go on."""
    values = {"org": after.org, **after.values(), "most": most, "now": now}
    row = (await fleet.connection.execute(_MARK_ENDED, values)).one_or_none()
    if row is None:
        return 0, None
    last = Reservation(org=row.org, key=row.key, project=row.project, domain=row.domain)
    return int(row.ended), last


async def list_blocked(
    fleet: FleetTx, after: Reservation, before: datetime, *, most: int
) -> tuple[Sequence[Reservation], Reservation | None]:
    """
    List reservations whose action waits for a limit since before ``before``, and is waited for.

    Reads a page of those that are waited for; returns where to go on, None at the end.
    """
    values = {"org": after.org, **after.values(), "most": most, "before_at": before}
    rows = (await fleet.connection.execute(_LIST_BLOCKED, values)).all()
    found = [
        (Reservation(org=row.org, key=row.key, project=row.project, domain=row.domain), row.blocked)
        for row in rows
    ]
    blocked = [reservation for reservation, is_blocked in found if is_blocked]
    return blocked, found[-1][0] if len(found) == most else None


async def run_beside(tx: OrgTx, waiter: Waiter, now: datetime) -> bool:
    """Let a waiter run beside the equal action; False if it is locked or waits no more."""
    counters = await lock_free_runs(tx, [waiter.run])
    if waiter.run not in counters:
        return False
    queues = await lock_queues(tx, [waiter.queue])
    pools = await _run(tx, waiter, queues.find(waiter.queue) or Queue(name=DEFAULT), now)
    await notify(tx, counters, work=pools)
    return bool(pools)


async def list_waiters(tx: OrgTx, of: Reservation) -> Sequence[Waiter]:
    """List a page of the actions that wait for a reservation, the oldest first."""
    rows = await tx.rows(_LIST_WAITERS, {**of.values(), "most": PAGE})
    return [
        Waiter(
            lookup=Lookup(
                id=ActionId(row.action_id),
                run=RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run)),
                request=CacheRequest(
                    key=of.key,
                    max_age=row.max_age,
                    has_outputs=row.has_outputs,
                    serialize=True,
                ),
            ),
            run=RunId(row.run_id),
            queue=row.queue,
        )
        for row in rows
    ]


async def hand_over(
    tx: OrgTx,
    of: Reservation,
    waiters: Sequence[tuple[Waiter, CacheCheck]],
    now: datetime,
    *,
    skip_locked: bool,
) -> HandedOver:
    """
    Give these waiters the outputs of an entry if they find one; let the oldest of the others run.

    ``skip_locked``: leave those whose run another transaction has locked.
    """
    await tx.plan_for(len(waiters))
    lock = lock_free_runs if skip_locked else lock_runs
    counters = await lock(tx, {waiter.run for waiter, _ in waiters})
    free = {waiter.id: (waiter, check) for waiter, check in waiters if waiter.run in counters}
    queues = await lock_queues(tx, {waiter.queue for waiter, _ in free.values()} | {DEFAULT})
    if not await tx.rows(_LOCK_ENDED, of.values()):
        return HandedOver(went_on=0, is_over=True)
    still = {row.action_id for row in await tx.rows(_STILL_WAIT, {"id": sorted(free)})}
    there = {action: each for action, each in free.items() if action in still}
    lookups = [
        Lookup(id=action, run=waiter.lookup.run, request=waiter.lookup.request, check=check)
        for action, (waiter, check) in there.items()
    ]
    found = await find_entries(tx, lookups, now)
    hits = {action: entry for action, each in found.items() if (entry := each.entry) is not None}
    await _give_outputs(tx, counters, there, hits, now)
    for action, (waiter, _) in there.items():
        if action in hits:
            continue
        queue = queues.find(waiter.queue) or Queue(name=DEFAULT)
        pools = await _run(tx, waiter, queue, now)
        if pools:
            await tx.execute(
                _RESERVE, {"id": action, "run_id": waiter.run, **of.values(), "now": now}
            )
            await notify(tx, counters, work=pools)
            return HandedOver(went_on=len(hits) + 1, is_over=True)
    over = bool(await tx.rows(_GIVE_UP, of.values()))
    await notify(tx, counters)
    return HandedOver(went_on=len(hits), is_over=over)


async def _give_outputs(
    tx: OrgTx,
    counters: Counters,
    waiters: Mapping[ActionId, tuple[Waiter, CacheCheck]],
    hits: Mapping[ActionId, CacheEntry],
    now: datetime,
) -> None:
    if not hits:
        return
    await tx.execute(
        _HIT,
        {
            "id": list(hits),
            "change": [counters.next(waiters[action][0].run) for action in hits],
            "output_uri": [entry.output_uri for entry in hits.values()],
            "cached_from": [render_source(entry.source) for entry in hits.values()],
            "now": now,
        },
    )
    await leave(tx, hits)
    requests = [(waiters[action][0].lookup.request, entry) for action, entry in hits.items()]
    await touch_entries(tx, requests, now)


async def _run(tx: OrgTx, waiter: Waiter, queue: Queue, now: datetime) -> Sequence[str]:
    """Let a waiter run, and return the pool that has work; none if it has ended meanwhile."""
    rows = await tx.rows(
        _DISPATCH,
        {
            "id": waiter.id,
            "queue": queue.name,
            "pool": queue.pool,
            "priority": queue.priority,
            "limited": queue.is_limited,
            "now": now,
        },
    )
    await leave(tx, [waiter.id])
    return [row.pool for row in rows]
