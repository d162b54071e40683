"""Creates runs with their root action, and finds them by name."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from controlplane.core.actions import RunSource
from controlplane.core.caching import UNCACHED, CacheCheck, CacheRequest, CacheResult
from controlplane.core.firings import FiringReason
from controlplane.core.runs import NewRun, WatchedRun
from controlplane.core.triggers import TriggerKey
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.caching import (
    Lookup,
    RootSettings,
    find_entries,
    touch_entries,
)
from controlplane.store.dispatch.reservations import (
    NOTHING_RESERVED,
    Reserved,
    Serialized,
    reserve,
)
from controlplane.store.dispatch.run_holds import lock_source
from controlplane.store.notify.changes import Counters, lock_runs, notify, notify_run
from controlplane.store.resources.queues import lock_queues
from controlplane.store.resources.run_rows import (
    RootToDispatch,
    RootToInsert,
    RunToInsert,
    insert_dispatches,
    insert_roots,
    insert_runs,
)
from controlplane.store.resources.specs import save_specs
from controlplane.store.resources.trigger_firings import record_one
from controlplane.store.resources.triggers import lock_triggers
from controlplane.store.statements import statement
from shared.model.ids import ActionId, RunId, RunKey
from shared.model.phases import Phase

# Only the first attempt of a run whose inputs are being stored is available later.
_NOT_YET_AVAILABLE = "attempt = 1 AND lease_id IS NULL AND available_at > :now"

_MAKE_AVAILABLE = statement(f"""
UPDATE dispatches SET available_at = :now
WHERE org = :org AND action_id = :run_id AND {_NOT_YET_AVAILABLE}
RETURNING pool
""")

_DISCARD_DISPATCH = statement(f"""
DELETE FROM dispatches
WHERE org = :org AND action_id = :run_id AND {_NOT_YET_AVAILABLE}
  AND NOT EXISTS (SELECT 1 FROM actions c WHERE c.org = :org AND c.parent_id = :run_id)
RETURNING action_id
""")
_DELETE_ROOT = statement("DELETE FROM actions WHERE org = :org AND id = :run_id")

_DELETE_RUN = statement("DELETE FROM runs WHERE org = :org AND run_id = :run_id")

_SAME = statement("""
SELECT r.run_id, COALESCE(r.requested_spec, r.run_spec) = :requested_spec AND a.spec = :spec AND a.input_uri = :input_uri
       AND r.created_by = :created_by AS same
FROM runs r JOIN actions a ON a.org = r.org AND a.id = r.run_id
WHERE r.org = :org AND r.project = :project AND r.domain = :domain AND r.run = :run
""")

_PROJECT = statement("SELECT state FROM projects WHERE org = :org AND project = :project")

_FIND = statement("""
SELECT run_id FROM runs
WHERE org = :org AND project = :project AND domain = :domain AND run = :run
""")

_RUN_SPEC = statement("""
SELECT s.body, r.started_at FROM runs r JOIN specs s ON s.org = r.org AND s.digest = r.run_spec
WHERE r.org = :org AND r.run_id = :run_id
""")

_WATCHED = statement("""
SELECT run_id, created_by, recovers IS NOT NULL AS recovers FROM runs
WHERE org = :org AND project = :project AND domain = :domain AND run = :run
""")

_CHANGE = statement("SELECT change FROM runs WHERE org = :org AND run_id = :run_id")


class Created(Enum):
    CREATED = auto()
    REPEATED = auto()  # the same caller created it by the same request before
    TAKEN = auto()  # another run has the name
    NO_PROJECT = auto()
    NO_QUEUE = auto()
    QUEUE_FULL = auto()
    ARCHIVED_PROJECT = auto()
    NO_TRIGGER = auto()
    NO_SOURCE = auto()  # the run that it recovers was purged
    NO_INPUTS = auto()  # the run whose data its inputs are is being purged
    OVER_QUOTA = auto()  # of actions per day; ``create_run`` raises QuotaExceededError
    BUSY = auto()  # another transaction has locked its queue


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCache:
    """Where a run finds cached results, and what is known of the outputs that its root would get."""

    scopes: Collection[str] | None = ()
    check: CacheCheck | None = None


async def create_run(
    tx: OrgTx,
    run: RunId,
    new: NewRun,
    *,
    by: str,
    now: datetime,
    available_at: datetime | None = None,
    cache: RootCache | None = None,
) -> tuple[Created, RunId]:
    """
    Insert a run, its root action and its dispatch; or return why that was refused.

    ``available_at``: when its root may start, if that is later than now; then watchers are not
    notified of the run until ``make_available``, so that it may be discarded. A root with cached
    outputs, or with those of a run that it recovers, has ended at once, and needs no capacity of
    its queue. A tracked run is not dispatched either: its program runs it.

    QuotaExceededError: no action may be added today.
    """
    cache = cache or RootCache()
    key, trigger = new.key.run, new.trigger
    of_trigger = None
    if trigger is not None:
        of_trigger = TriggerKey(key.project, key.domain, trigger.task_name, trigger.name)
    if of_trigger is not None and not await lock_triggers(tx, [of_trigger]):
        return Created.NO_TRIGGER, run
    capacities = await lock_queues(tx, [new.queue])
    queue = capacities.find(new.queue)
    if queue is None:
        return Created.NO_QUEUE, run
    if new.source_run is not None and not await lock_source(tx, new.source_run.id):
        return Created.NO_SOURCE, run
    inputs_of = None if new.inputs_run is None else await find_run(tx, new.inputs_run)
    if inputs_of is not None and not await lock_source(tx, inputs_of):
        return Created.NO_INPUTS, run
    made = RunToInsert(id=run, new=new, by=by, scopes=cache.scopes, inputs_of=inputs_of)
    inserted = await insert_runs(tx, [made], now)
    if not inserted:
        return await _why_not(tx, run, new, by)
    if of_trigger is not None:
        is_of_artifact = new.source is RunSource.ARTIFACT_TRIGGER
        await record_one(
            tx,
            of_trigger,
            FiringReason.ARTIFACT if is_of_artifact else FiringReason.BY_HAND,
            instant=new.started_at or now,
            now=now,
            run=key.name,
            by="" if is_of_artifact else by,
        )
    recovered = new.recovered
    cached = UNCACHED if recovered else await _find_cached(tx, run, new, cache, now)
    needs_slot = recovered is None and cached.entry is None and not new.is_tracked
    if needs_slot and not capacities.take(queue.name):
        await tx.execute(_DELETE_RUN, {"run_id": run})
        return Created.QUEUE_FULL, run
    over = inserted[run]
    if needs_slot and over is not None:
        raise over.error(tx.org, now)
    reserved = NOTHING_RESERVED
    if needs_slot and new.cache is not None and new.cache.serialize:
        reserved = await _reserve(tx, run, new, cache, now)
        cached = reserved.hits.get(ActionId(run), cached)
    await save_specs(tx, [new.spec, new.run_spec])
    root = RootToInsert(id=run, new=new, cached=cached)
    await insert_roots(tx, [root], now)
    if root.phase is not Phase.QUEUED:
        if cached.entry is not None and new.cache is not None:
            await touch_entries(tx, [(new.cache, cached.entry)], now)
        await _notify_of_new(tx, run, work=[])
        return Created.CREATED, run
    if reserved.waiting or new.is_tracked:
        await _notify_of_new(tx, run, work=[], reservations=reserved.wakes)
        return Created.CREATED, run
    dispatch = RootToDispatch(id=run, new=new, queue=queue, available_at=available_at or now)
    await insert_dispatches(tx, [dispatch], now)
    if available_at is None or available_at <= now:
        await _notify_of_new(tx, run, work=[queue.pool])
    return Created.CREATED, run


async def _notify_of_new(
    tx: OrgTx, run: RunId, *, work: Collection[str], reservations: bool = False
) -> None:
    counters = Counters({run: 0})
    counters.next(run)
    await notify(tx, counters, work=work, reservations=reservations)


async def _find_cached(
    tx: OrgTx, run: RunId, new: NewRun, cache: RootCache, now: datetime
) -> CacheResult:
    """Look the root up in the cache; no statement if it has no key."""
    if new.cache is None:
        return UNCACHED
    lookup = _lookup(run, new, new.cache, cache)
    found = await find_entries(tx, [lookup], now, root=_settings(new, cache))
    return found[lookup.id]


async def _reserve(tx: OrgTx, run: RunId, new: NewRun, cache: RootCache, now: datetime) -> Reserved:
    """Let a serialized root run, or wait for an equal action."""
    if new.cache is None:
        return NOTHING_RESERVED
    lookup = _lookup(run, new, new.cache, cache)
    root = Serialized(lookup=lookup, run=run, parent=None, queue=new.queue)
    return await reserve(tx, [root], now, root=_settings(new, cache))


def _lookup(run: RunId, new: NewRun, request: CacheRequest, cache: RootCache) -> Lookup:
    return Lookup(id=ActionId(run), run=new.key.run, request=request, check=cache.check)


def _settings(new: NewRun, cache: RootCache) -> RootSettings:
    return RootSettings(scopes=cache.scopes, overwrites=new.overwrite_cache)


async def make_available(tx: OrgTx, run: RunId, now: datetime) -> None:
    """Let the root of a run that was created for later start now; nothing if it may already."""
    rows = await tx.rows(_MAKE_AVAILABLE, {"run_id": run, "now": now})
    if rows:
        await notify_run(tx, run, work=[rows[0].pool])


async def discard_run(tx: OrgTx, run: RunId, now: datetime) -> bool:
    """Delete a run that was created for later and may not start yet; return whether it was."""
    await lock_runs(tx, [run])
    if not await tx.rows(_DISCARD_DISPATCH, {"run_id": run, "now": now}):
        return False
    await tx.execute(_DELETE_ROOT, {"run_id": run})
    await tx.execute(_DELETE_RUN, {"run_id": run})
    return True


async def _why_not(tx: OrgTx, run: RunId, new: NewRun, by: str) -> tuple[Created, RunId]:
    key = new.key.run
    project = (await tx.execute(_PROJECT, {"project": key.project})).one_or_none()
    if project is None:
        return Created.NO_PROJECT, run
    if project.state != 0:
        return Created.ARCHIVED_PROJECT, run
    there = (
        await tx.execute(
            _SAME,
            {
                "project": key.project,
                "domain": key.domain,
                "run": key.name,
                "requested_spec": new.requested_spec or new.run_spec.digest,
                "spec": new.spec.digest,
                "input_uri": new.input_uri,
                "created_by": by,
            },
        )
    ).one_or_none()
    if there is None:
        # The project was created or unarchived after the insert had read it.
        return Created.NO_PROJECT, run
    return (Created.REPEATED if there.same else Created.TAKEN), RunId(there.run_id)


async def find_run(tx: OrgTx, run: RunKey) -> RunId | None:
    """Return the id of the run with this name."""
    row = (
        await tx.execute(_FIND, {"project": run.project, "domain": run.domain, "run": run.name})
    ).one_or_none()
    return None if row is None else RunId(row.run_id)


async def find_watched(tx: OrgTx, run: RunKey) -> WatchedRun | None:
    """Find the run with this name."""
    row = (
        await tx.execute(_WATCHED, {"project": run.project, "domain": run.domain, "run": run.name})
    ).one_or_none()
    return None if row is None else WatchedRun(run, RunId(row.run_id), row.created_by, row.recovers)


async def get_run_spec(tx: OrgTx, run: RunId) -> bytes:
    """Return the run's serialised RunSpec."""
    body: bytes = (await tx.execute(_RUN_SPEC, {"run_id": run})).one().body
    return body


async def get_start(tx: OrgTx, run: RunId) -> tuple[bytes, datetime]:
    """Return the run's serialised RunSpec, and its start, which is the kickoff time of a scheduled one."""
    row = (await tx.execute(_RUN_SPEC, {"run_id": run})).one()
    return row.body, row.started_at


async def get_change(tx: OrgTx, run: RunId) -> int:
    """Return the number of the run's latest committed change."""
    change: int = (await tx.execute(_CHANGE, {"run_id": run})).one().change
    return change
