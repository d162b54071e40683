"""
Enqueues actions in batches: one transaction for many requests.

Enqueueing is idempotent by (run, action name): a repeat with the same content changes
nothing; a repeat with other content is answered DIFFERENT, and the first content stays.

With ``skip_locked`` a batch does not wait for a run or queue that another transaction has
locked: its requests are answered BUSY, so that one locked run delays no other run's actions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from controlplane.core.actions import ActionType, NewAction
from controlplane.core.queues import Queue
from controlplane.core.timeouts import due_at
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import above
from controlplane.store.dispatch.concurrency import WAITS_IN_QUEUE
from controlplane.store.notify.changes import Counters, notify
from controlplane.store.phase_guards import is_live
from controlplane.store.resources.queues import lock_free_queues, lock_queues
from controlplane.store.resources.specs import save_specs
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, RunId, RunKey
from shared.model.phases import Phase


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


_RUNS = f"""
{given(project="text", domain="text", run="text")}
SELECT r.run_id, r.project, r.domain, r.run, r.change, r.queue, r.max_action_concurrency
FROM n JOIN runs r
  ON r.org = n.org AND r.project = n.project AND r.domain = n.domain AND r.run = n.run
ORDER BY r.run_id FOR UPDATE OF r {{unless_locked}}
"""
_LOCK_RUNS = statement(_RUNS.format(unless_locked=""))
_LOCK_FREE_RUNS = statement(_RUNS.format(unless_locked="SKIP LOCKED"))

_WHICH_EXIST = statement(f"""
{given(project="text", domain="text", run="text")}
SELECT r.project, r.domain, r.run
FROM n JOIN runs r
  ON r.org = n.org AND r.project = n.project AND r.domain = n.domain AND r.run = n.run
""")

_INSERT = statement(f"""
{given(
    id="uuid", run_id="uuid", name="text", parent="text", type="smallint", spec="bytea",
    input_uri="text", group_name="text", cache_key="text", task_name="text",
    task_version="text", task_type="text", short_name="text", environment="text",
    function="text", phase="smallint", change="bigint", created_at_="timestamptz",
    started_at_="timestamptz", ended_at_="timestamptz", due_at_="timestamptz",
    output_uri="text", error_code="text", error_kind="smallint", error_message="text",
    error_recoverable="boolean", condition_type="bytea",
)}
INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, group_name, cache_key,
                     task_name, task_version, task_type, short_name, environment, function,
                     phase, change, created_at, updated_at, started_at, ended_at, due_at,
                     output_uri, error_code, error_kind, error_message, error_recoverable,
                     condition_type)
SELECT n.org, n.id, n.run_id, n.name, n.parent, p.id, n.type, n.spec, n.input_uri, n.group_name,
       n.cache_key, n.task_name, n.task_version, n.task_type, n.short_name, n.environment,
       n.function, n.phase, n.change, n.created_at, :now, n.started_at, n.ended_at, n.due_at,
       n.output_uri, n.error_code, n.error_kind, n.error_message, n.error_recoverable,
       n.condition_type
FROM n
CROSS JOIN LATERAL (
    SELECT p.id, p.phase FROM actions p
    WHERE p.org = n.org AND p.run_id = n.run_id AND p.name = n.parent LIMIT 1
) p
WHERE {is_live("p.phase")} AND {above("n.org", "n.run_id", "p.id")} IS NULL
ON CONFLICT DO NOTHING
RETURNING id, parent_id
""")  # fmt: skip

# Returns the pools with work: the action's own, and that of a parent that freed its slot in
# another queue's limit, because the children that it waits for are not in that queue.
_DISPATCH = statement(f"""
{given(
    id="uuid", run_id="uuid", parent_id="uuid", queue="text", pool="text", urgency="smallint",
    limited="boolean",
)}, made AS (
INSERT INTO dispatches (org, action_id, run_id, parent_id, attempt, queue, pool, urgency, limited,
                        enqueued_at, available_at)
SELECT n.org, n.id, n.run_id, n.parent_id, 1, n.queue, n.pool, n.urgency, n.limited, :now, :now
FROM n
)
SELECT pool FROM n
UNION
SELECT p.pool FROM n JOIN dispatches p ON p.org = n.org AND p.action_id = n.parent_id
WHERE p.limited AND p.lease_id IS NOT NULL AND p.queue <> n.queue
""")  # fmt: skip

_ONLY_CHILDREN = statement(f"""
{given(id="uuid", run_id="uuid", parent="text", queue="text")}
SELECT n.id, p.id AS parent_id
FROM n
JOIN actions p ON p.org = n.org AND p.run_id = n.run_id AND p.name = n.parent
JOIN dispatches l ON l.org = p.org AND l.action_id = p.id AND l.lease_id IS NOT NULL
                 AND l.queue = n.queue
WHERE {WAITS_IN_QUEUE} IS NULL
""")

_CLASSIFY = statement(f"""
{given(id="uuid", run_id="uuid", name="text", parent="text")}
SELECT n.id, a.id AS existing, a.parent, a.type, a.spec, a.input_uri, p.id AS parent_id
FROM n
LEFT JOIN LATERAL (
    SELECT a.id, a.parent, a.type, a.spec, a.input_uri FROM actions a
    WHERE a.org = n.org AND a.run_id = n.run_id AND a.name = n.name LIMIT 1
) a ON true
LEFT JOIN LATERAL (
    SELECT p.id FROM actions p
    WHERE p.org = n.org AND p.run_id = n.run_id AND p.name = n.parent LIMIT 1
) p ON true
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A locked run, with the settings that its actions inherit."""

    id: RunId
    queue: str
    is_limited: bool


async def enqueue(
    tx: OrgTx, requests: Sequence[Enqueue], now: datetime, *, skip_locked: bool = False
) -> Sequence[Enqueued]:
    """
    Enqueue all requests; the answers are in the order of the requests.

    ``skip_locked``: answer BUSY for those whose run or queue another transaction has locked.
    """
    await tx.plan_for(len(requests))
    runs, counters = await _lock_runs(tx, requests, skip_locked=skip_locked)
    known = [request for request in requests if request.action.key.run in runs]
    answers: dict[UUID, Enqueued] = {}
    if skip_locked:
        missing = {
            request.action.key.run for request in requests if request.action.key.run not in runs
        }
        exist = await _find_which_exist(tx, missing) if missing else set()
        answers = {
            request.id: Enqueued.BUSY for request in requests if request.action.key.run in exist
        }
    if not known:
        return [answers.get(request.id, Enqueued.NO_RUN) for request in requests]
    queues = {request.id: _queue(request, runs) for request in known}
    if skip_locked:
        capacities, locked = await lock_free_queues(tx, queues.values())
        answers |= {request.id: Enqueued.BUSY for request in known if queues[request.id] in locked}
        known = [request for request in known if request.id not in answers]
    else:
        capacities = await lock_queues(tx, queues.values())
    admitted: list[Enqueue] = []
    refused: list[Enqueue] = []
    for request in known:
        if capacities.find(queues[request.id]) is None:
            answers[request.id] = Enqueued.NO_QUEUE
        elif request.action.type is ActionType.TASK and not capacities.take(queues[request.id]):
            answers[request.id] = Enqueued.QUEUE_FULL
            refused.append(request)
        else:
            admitted.append(request)
    if refused:
        only_children = await _find_only_children(tx, refused, runs, queues)
        admitted.extend(request for request in refused if request.id in only_children)
    await save_specs(tx, (request.action.spec for request in admitted))
    created = await _insert(tx, admitted, runs, counters, now)
    waiting = [
        request
        for request in admitted
        if request.id in created and request.action.type is ActionType.TASK
    ]
    work: set[str] = set()
    if waiting:
        queues_of = [capacities.find(queues[request.id]) or Queue(name="") for request in waiting]
        of = [runs[request.action.key.run] for request in waiting]
        rows = await tx.rows(
            _DISPATCH,
            {
                "id": [request.id for request in waiting],
                "run_id": [run.id for run in of],
                "parent_id": [created[request.id] for request in waiting],
                "queue": [queue.name for queue in queues_of],
                "pool": [queue.pool for queue in queues_of],
                "urgency": [-queue.priority for queue in queues_of],
                "limited": [
                    queue.is_limited or run.is_limited
                    for queue, run in zip(queues_of, of, strict=True)
                ],
                "now": now,
            },
        )
        work = {row.pool for row in rows}
    # An action that exists is a repeat, even where its queue is too full for a new one.
    rest = [request for request in known if request.id not in created]
    answers.update(await _classify(tx, rest, runs, answers))
    if created:
        await notify(tx, counters, work=work)
    return [
        Enqueued.CREATED if request.id in created else answers.get(request.id, Enqueued.NO_RUN)
        for request in requests
    ]


def _queue(request: Enqueue, runs: Mapping[RunKey, _Run]) -> str:
    return request.action.queue or runs[request.action.key.run].queue


async def _lock_runs(
    tx: OrgTx, requests: Sequence[Enqueue], *, skip_locked: bool
) -> tuple[Mapping[RunKey, _Run], Counters]:
    rows = await tx.rows(
        _LOCK_FREE_RUNS if skip_locked else _LOCK_RUNS,
        _names({request.action.key.run for request in requests}),
    )
    found = {
        RunKey(row.project, row.domain, row.run): _Run(
            id=RunId(row.run_id), queue=row.queue, is_limited=row.max_action_concurrency > 0
        )
        for row in rows
    }
    return found, Counters({RunId(row.run_id): row.change for row in rows})


async def _find_only_children(
    tx: OrgTx,
    refused: Sequence[Enqueue],
    runs: Mapping[RunKey, _Run],
    queues: Mapping[ActionId, str],
) -> Collection[UUID]:
    """
    Find the requests that may enter a full queue: one waiting child per active parent in it.

    Otherwise the queue would deadlock: its waiting actions need the parent's slot, and the
    parent waits for a child that cannot enter.
    """
    rows = await tx.rows(
        _ONLY_CHILDREN,
        {
            "id": [request.id for request in refused],
            "run_id": [runs[request.action.key.run].id for request in refused],
            "parent": [request.action.parent for request in refused],
            "queue": [queues[request.id] for request in refused],
        },
    )
    return {row.parent_id: row.id for row in rows}.values()


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


async def _insert(
    tx: OrgTx,
    requests: Sequence[Enqueue],
    runs: Mapping[RunKey, _Run],
    counters: Counters,
    now: datetime,
) -> Mapping[UUID, UUID]:
    """Insert the new actions whose parent is live; return them, with their parents."""
    if not requests:
        return {}
    actions = [request.action for request in requests]
    failures = [action.trace.failure if action.trace else None for action in actions]
    rows = await tx.rows(
        _INSERT,
        {
            "id": [request.id for request in requests],
            "run_id": [runs[action.key.run].id for action in actions],
            "name": [action.key.name for action in actions],
            "parent": [action.parent for action in actions],
            "type": [action.type.value for action in actions],
            "spec": [action.spec.digest for action in actions],
            "input_uri": [action.input_uri for action in actions],
            "group_name": [action.group for action in actions],
            "cache_key": [action.cache_key for action in actions],
            "task_name": [action.info.name for action in actions],
            "task_version": [action.info.version for action in actions],
            "task_type": [action.info.task_type for action in actions],
            "short_name": [action.info.short_name for action in actions],
            "environment": [action.info.environment for action in actions],
            "function": [action.info.function for action in actions],
            "phase": [_first_phase(action).value for action in actions],
            "change": [counters.next(runs[action.key.run].id) for action in actions],
            "created_at_": [a.trace.started_at if a.trace else now for a in actions],
            "started_at_": [a.trace.started_at if a.trace else None for a in actions],
            "ended_at_": [a.trace.ended_at if a.trace else None for a in actions],
            "due_at_": [_due_at(action, now) for action in actions],
            "output_uri": [a.trace.output_uri if a.trace else "" for a in actions],
            "error_code": [f.code if f else None for f in failures],
            "error_kind": [f.kind.value if f else None for f in failures],
            "error_message": [f.message if f else None for f in failures],
            "error_recoverable": [f.recoverable if f else None for f in failures],
            "condition_type": [a.condition.literal_type if a.condition else None for a in actions],
            "now": now,
        },
    )
    return {row.id: row.parent_id for row in rows}


def _first_phase(action: NewAction) -> Phase:
    match action.type:
        case ActionType.TASK:
            return Phase.QUEUED
        case ActionType.TRACE:
            return action.trace.phase if action.trace else Phase.SUCCEEDED
        case ActionType.CONDITION:
            return Phase.PAUSED
        case ActionType.UNKNOWN:
            raise ValueError("a new action has no type")


def _due_at(action: NewAction, now: datetime) -> datetime | None:
    if action.type is ActionType.TASK:
        return due_at(action.spec.policy, Phase.QUEUED, created_at=now, available_at=now)
    if action.condition and action.condition.timeout:
        return now + action.condition.timeout
    return None


async def _classify(
    tx: OrgTx,
    requests: Sequence[Enqueue],
    runs: Mapping[RunKey, _Run],
    rejected: Mapping[UUID, Enqueued],
) -> Mapping[UUID, Enqueued]:
    """Return why requests created no action; rare except for parents that replay."""
    if not requests:
        return {}
    rows = await tx.rows(
        _CLASSIFY,
        {
            "id": [request.id for request in requests],
            "run_id": [runs[request.action.key.run].id for request in requests],
            "name": [request.action.key.name for request in requests],
            "parent": [request.action.parent for request in requests],
        },
    )
    found = {row.id: row for row in rows}
    answers: dict[UUID, Enqueued] = {}
    for request in requests:
        action, row = request.action, found[request.id]
        content = (action.parent, action.type.value, action.spec.digest, action.input_uri)
        if row.existing is not None:
            same = content == (row.parent, row.type, row.spec, row.input_uri)
            answers[request.id] = Enqueued.REPEATED if same else Enqueued.DIFFERENT
        elif request.id in rejected:
            answers[request.id] = rejected[request.id]
        elif row.parent_id is None:
            answers[request.id] = Enqueued.NO_PARENT
        else:
            answers[request.id] = Enqueued.PARENT_ENDED
    return answers
