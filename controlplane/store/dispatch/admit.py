"""
First step of enqueueing: locks the runs and queues of a batch, and decides which requests may enter.

With ``skip_locked`` a batch does not wait for a run or queue that another transaction has
locked: its requests are answered BUSY, so that one locked run delays no other run's actions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto

from controlplane.core.actions import ActionType, NewAction, RunSource
from controlplane.core.caching import UNCACHED, CacheCheck, CacheRequest, CacheResult
from controlplane.core.queues import Queue
from controlplane.core.quotas import QuotaUsedUp
from controlplane.core.relations import CheckedOutputs, Counterpart
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.action_counts import parse_used_up, used_up
from controlplane.store.dispatch.caching import Lookup, find_entries
from controlplane.store.dispatch.concurrency import WAITS_IN_QUEUE
from controlplane.store.dispatch.recoveries import find_counterparts
from controlplane.store.dispatch.reservations import Reserved, Serialized, reserve
from controlplane.store.notify.changes import Counters
from controlplane.store.resources.queues import lock_free_queues, lock_queues
from controlplane.store.statements import given, only_one, statement
from shared.model.ids import ActionId, RunId, RunKey, RunName


class Enqueued(Enum):
    """The answer to one request to enqueue."""

    CREATED = auto()
    REPEATED = auto()  # the action exists with the same content
    DIFFERENT = auto()  # the action exists with other content, which stays
    NO_RUN = auto()
    NO_PARENT = auto()
    PARENT_ENDED = auto()
    NO_QUEUE = auto()
    QUEUE_FULL = auto()
    BUSY = auto()  # another transaction has locked its run or queue: retry it in a batch of its own


@dataclass(frozen=True, slots=True)
class Enqueue:
    id: ActionId  # the id of the action if it is new
    action: NewAction
    cache_check: CacheCheck | None = None
    checked: CheckedOutputs | None = None  # of its counterpart, once a batch has answered with it


Refusal = Enqueued | QuotaUsedUp

Answer = Refusal | Counterpart
"""A counterpart: the action may be recovered; check its outputs, and enqueue it again."""


_BY_NAME = f"""
    SELECT r.run_id FROM runs r
    WHERE r.org = n.org AND r.project = n.project AND r.domain = n.domain
      AND {only_one("r.run", "n.run")}
"""
# The runs are found by name, and then locked in the order of their ids, one by one.
_RUNS = f"""
{given(project="text", domain="text", run="text")},
f AS MATERIALIZED (
    SELECT n.org, r.run_id FROM n CROSS JOIN LATERAL ({_BY_NAME}) r ORDER BY r.run_id
)
SELECT r.*, {{used_up}} AS used_up FROM f CROSS JOIN LATERAL (
    SELECT r.run_id, r.project, r.domain, r.run, r.change, r.queue, r.max_action_concurrency,
           r.recovers, r.related_to, r.forced, r.source
    FROM runs r WHERE r.org = f.org AND {only_one("r.run_id", "f.run_id")}
    FOR UPDATE OF r {{unless_locked}}
) r
"""
_USED_UP = used_up("f.org", "r.project")
_LOCK_RUNS = statement(_RUNS.format(unless_locked="", used_up=_USED_UP))
_LOCK_FREE_RUNS = statement(_RUNS.format(unless_locked="SKIP LOCKED", used_up=_USED_UP))

_WHICH_EXIST = statement(f"""
{given(project="text", domain="text", run="text")}
SELECT n.project, n.domain, n.run FROM n CROSS JOIN LATERAL ({_BY_NAME}) r
""")

_ONLY_CHILDREN = statement(f"""
{given(id="uuid", run_id="uuid", parent="text", queue="text")}
SELECT n.id, l.action_id AS parent_id
FROM n
CROSS JOIN LATERAL (
    SELECT p.id FROM actions p
    WHERE p.org = n.org AND p.run_id = n.run_id AND p.name = n.parent LIMIT 1
) p
CROSS JOIN LATERAL (
    SELECT l.org, l.action_id, l.queue FROM dispatches l
    WHERE l.org = n.org AND l.action_id = p.id AND l.lease_id IS NOT NULL AND l.queue = n.queue
    LIMIT 1
) l
WHERE {WAITS_IN_QUEUE} IS NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRun:
    """A run that this transaction has locked, with the settings that its actions inherit."""

    id: RunId
    queue: str
    is_limited: bool
    source: RunId | None  # the run that it recovers, and its name
    source_name: RunName
    used_up: QuotaUsedUp | None = None  # the quota of actions per day that allows no more
    forced: Collection[str] = ()  # actions that it runs, although they succeeded there


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may enter, with its run and its queue."""

    request: Enqueue
    run: LockedRun
    queue: Queue
    cached: CacheResult = UNCACHED
    recovered: Counterpart | None = None  # what it takes over from the run that its run recovers
    waits: bool = False  # until an equal action ends

    @property
    def is_hit(self) -> bool:
        return self.cached.entry is not None

    @property
    def has_result(self) -> bool:
        """Whether it takes a result over, so that it ends at once and is not dispatched."""
        return self.is_hit or self.recovered is not None

    @property
    def is_serialized(self) -> bool:
        """Whether it asks that equal actions run one at a time."""
        cache = self.request.action.cache
        return cache is not None and cache.serialize


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The requests of a batch that may enter, and why others may not."""

    admitted: Sequence[Admitted]
    refused: Mapping[ActionId, Refusal]
    runs: Mapping[RunKey, LockedRun]
    counters: Counters
    unchecked: Mapping[ActionId, Counterpart] = field(default_factory=dict)
    wakes_waiters: bool = False  # one waits for an action that has ended meanwhile


async def admit(
    tx: OrgTx, requests: Sequence[Enqueue], now: datetime, *, skip_locked: bool
) -> Admission:
    """
    Lock the requests' runs and queues until commit, and use up the queues' depth.

    Those that have a key are looked up in the cache; a hit needs no capacity of its queue. One
    that waits for an equal action needs it, because it may have to run.

    Refused are requests whose run does not exist (NO_RUN) or is locked (BUSY), and, unless
    their actions exist already, those whose queue does not exist or is full, and those over a quota
    of actions per day.
    """
    runs, counters = await _lock_runs(tx, requests, now, skip_locked=skip_locked)
    refused: dict[ActionId, Refusal] = {}
    unknown = [request for request in requests if request.action.key.run not in runs]
    if unknown:
        missing = {request.action.key.run for request in unknown}
        locked_runs = await _find_which_exist(tx, missing) if skip_locked else ()
        for request in unknown:
            is_locked = request.action.key.run in locked_runs
            refused[request.id] = Enqueued.BUSY if is_locked else Enqueued.NO_RUN
    known = [request for request in requests if request.action.key.run in runs]
    if not known:
        return Admission(admitted=(), refused=refused, runs=runs, counters=counters)
    names = {request.id: _queue_name(request, runs) for request in known}
    locked_queues: Collection[str] = ()
    if skip_locked:
        capacities, locked_queues = await lock_free_queues(tx, names.values())
    else:
        capacities = await lock_queues(tx, names.values())
    counterparts = await _find_counterparts(tx, known, runs)
    recovered, unchecked = _divide(known, counterparts)
    others = [each for each in known if each.id not in recovered and each.id not in unchecked]
    cached = await _find_cached(tx, others, now)
    admitted: list[Admitted] = []
    without_slot: list[Admitted] = []
    for request in known:
        if request.id in unchecked:
            continue
        name = names[request.id]
        queue = capacities.find(name)
        if name in locked_queues:
            refused[request.id] = Enqueued.BUSY
        elif queue is None:
            refused[request.id] = Enqueued.NO_QUEUE
        else:
            entering = Admitted(
                request,
                runs[request.action.key.run],
                queue,
                cached.get(request.id, UNCACHED),
                recovered.get(request.id),
            )
            is_dispatched = request.action.type is ActionType.TASK and not entering.has_result
            if is_dispatched and entering.run.used_up is not None:
                refused[request.id] = entering.run.used_up
                continue
            has_slot = not is_dispatched or capacities.take(name)
            (admitted if has_slot else without_slot).append(entering)
    only_children = await _find_only_children(tx, without_slot)
    for entering in without_slot:
        if entering.request.id in only_children:
            admitted.append(entering)
        else:
            refused[entering.request.id] = Enqueued.QUEUE_FULL
    reserved = await _reserve(tx, admitted, now)
    return Admission(
        admitted=[
            replace(
                each,
                cached=reserved.hits.get(each.request.id, each.cached),
                waits=each.request.id in reserved.waiting,
            )
            for each in admitted
        ],
        refused=refused,
        runs=runs,
        counters=counters,
        unchecked=unchecked,
        wakes_waiters=reserved.wakes,
    )


async def _reserve(tx: OrgTx, admitted: Sequence[Admitted], now: datetime) -> Reserved:
    """Let serialized actions run or wait; no statement if there are none."""
    serialized = [
        Serialized(
            lookup=_lookup(each.request, each.request.action.cache),
            run=each.run.id,
            parent=each.request.action.parent,
            queue=each.queue.name,
        )
        for each in admitted
        if each.request.action.cache is not None and each.is_serialized and not each.has_result
    ]
    return await reserve(tx, serialized, now)


async def _find_counterparts(
    tx: OrgTx, requests: Sequence[Enqueue], runs: Mapping[RunKey, LockedRun]
) -> Mapping[ActionId, Counterpart]:
    """Find what the requests take over from the runs that theirs recover; most recover none."""
    wanted, sources = [], []
    for request in requests:
        action, run = request.action, runs[request.action.key.run]
        # A trace is enqueued with its result; those to replay are in the parent's snapshot.
        if run.source is None or action.type is ActionType.TRACE or action.key.name in run.forced:
            continue
        wanted.append((request.id, run.id, action.key.name, action.parent, action.type))
        sources.append((run.source, run.source_name))
    return await find_counterparts(tx, wanted, sources)


def _divide(
    requests: Sequence[Enqueue], counterparts: Mapping[ActionId, Counterpart]
) -> tuple[Mapping[ActionId, Counterpart], Mapping[ActionId, Counterpart]]:
    """Return what is recovered, and what has outputs that are to be checked before."""
    recovered: dict[ActionId, Counterpart] = {}
    unchecked: dict[ActionId, Counterpart] = {}
    for request in requests if counterparts else ():
        found, checked = counterparts.get(request.id), request.checked
        if found is None:
            continue
        if request.action.type is not ActionType.TASK:
            recovered[request.id] = found
        elif checked is None or checked.uri != found.output_uri:
            unchecked[request.id] = found
        elif checked.exist:
            recovered[request.id] = found
    return recovered, unchecked


async def _find_cached(
    tx: OrgTx, requests: Sequence[Enqueue], now: datetime
) -> Mapping[ActionId, CacheResult]:
    """Look up the requests that have a cache key: one statement, and none without such a request."""
    lookups = [
        _lookup(request, request.action.cache)
        for request in requests
        if request.action.cache is not None
    ]
    return await find_entries(tx, lookups, now)


def _lookup(request: Enqueue, cache: CacheRequest) -> Lookup:
    return Lookup(
        id=request.id, run=request.action.key.run, request=cache, check=request.cache_check
    )


def _queue_name(request: Enqueue, runs: Mapping[RunKey, LockedRun]) -> str:
    return request.action.queue or runs[request.action.key.run].queue


async def _lock_runs(
    tx: OrgTx, requests: Sequence[Enqueue], now: datetime, *, skip_locked: bool
) -> tuple[Mapping[RunKey, LockedRun], Counters]:
    rows = await tx.rows(
        _LOCK_FREE_RUNS if skip_locked else _LOCK_RUNS,
        {**_names({request.action.key.run for request in requests}), "now": now},
    )
    found = {
        RunKey(row.project, row.domain, row.run): LockedRun(
            id=RunId(row.run_id),
            queue=row.queue,
            is_limited=row.max_action_concurrency > 0,
            source=row.recovers and RunId(row.recovers),
            source_name=RunName(row.related_to),
            used_up=parse_used_up(row.used_up),
            forced=frozenset(row.forced) if row.forced else (),
        )
        for row in rows
        if row.source != RunSource.TRACKED.value  # its program runs its actions
    }
    return found, Counters({RunId(row.run_id): row.change for row in rows})


async def _find_only_children(tx: OrgTx, without_slot: Sequence[Admitted]) -> Collection[ActionId]:
    """
    Find the requests that may enter a full queue: one waiting child per active parent in it.

    Otherwise the queue would deadlock: its waiting actions need the parent's slot, and the
    parent waits for a child that cannot enter.
    """
    if not without_slot:
        return ()
    rows = await tx.rows(
        _ONLY_CHILDREN,
        {
            "id": [each.request.id for each in without_slot],
            "run_id": [each.run.id for each in without_slot],
            "parent": [each.request.action.parent for each in without_slot],
            "queue": [each.queue.name for each in without_slot],
        },
    )
    return {row.parent_id: ActionId(row.id) for row in rows}.values()


async def _find_which_exist(tx: OrgTx, runs: Collection[RunKey]) -> Collection[RunKey]:
    rows = await tx.rows(_WHICH_EXIST, _names(runs))
    return {RunKey(row.project, row.domain, row.run) for row in rows}


def _names(runs: Collection[RunKey]) -> dict[str, object]:
    keys = sorted(runs)
    return {
        "project": [key.project for key in keys],
        "domain": [key.domain for key in keys],
        "run": [key.name for key in keys],
    }
