"""
Enqueues actions in batches: one transaction for many requests, in steps that work on sets.

1. ``admit``, in a module of its own: locks the runs and queues, finds what runs recover, and
   decides which requests may enter.
2. ``insert``: writes the actions that are new.
3. ``dispatch``: makes those that clusters run available for leasing.
4. ``classify``: finds why the other requests created no action.

Enqueueing is idempotent by (run, action name): a repeat with the same content changes
nothing; a repeat with other content is answered DIFFERENT, and the first content stays.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.actions import ActionType
from controlplane.core.notifications import mask_of
from controlplane.core.timeouts import due_at
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.action_counts import COUNTED
from controlplane.store.dispatch.admit import (
    Admission,
    Admitted,
    Answer,
    Enqueue,
    Enqueued,
    Refusal,
    admit,
)
from controlplane.store.dispatch.caching import touch_entries
from controlplane.store.dispatch.cascades import above
from controlplane.store.dispatch.reservations import end_reservations
from controlplane.store.notify.changes import Counters, notify
from controlplane.store.phase_guards import is_live
from controlplane.store.resources.specs import save_specs
from controlplane.store.rows import render_source, run_of_source
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId
from shared.model.phases import Phase

_PAUSED = mask_of(frozenset({Phase.PAUSED}))
"""Phases to record of a condition that calls a webhook."""

_INSERT = statement(f"""
{given(
    id="uuid", run_id="uuid", name="text", parent="text", type="smallint", spec="bytea",
    input_uri="text", group_name="text", cache_key="text", task_name="text",
    task_version="text", task_type="text", short_name="text", environment="text",
    function="text", phase="smallint", change="bigint", created_at_="timestamptz",
    started_at_="timestamptz", ended_at_="timestamptz", due_at_="timestamptz",
    output_uri="text", error_code="text", error_kind="smallint", error_message="text",
    error_recoverable="boolean", condition_type="bytea", cache_status="smallint",
    cached_from="jsonb", value="bytea", recovered_from="text", cache_serialized="boolean",
    notify="smallint",
)}
INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, group_name, cache_key,
                     task_name, task_version, task_type, short_name, environment, function,
                     phase, change, created_at, updated_at, started_at, ended_at, due_at,
                     output_uri, error_code, error_kind, error_message, error_recoverable,
                     condition_type, cache_status, cached_from, cached_run, value, recovered_from, cache_serialized,
                     notify)
SELECT n.org, n.id, n.run_id, n.name, n.parent, p.id, n.type, n.spec, n.input_uri, n.group_name,
       n.cache_key, n.task_name, n.task_version, n.task_type, n.short_name, n.environment,
       n.function, n.phase, n.change, n.created_at, :now, n.started_at, n.ended_at, n.due_at,
       n.output_uri, n.error_code, n.error_kind, n.error_message, n.error_recoverable,
       n.condition_type, n.cache_status, n.cached_from, {run_of_source("n.cached_from")}, n.value,
       n.recovered_from,
       n.cache_serialized, n.notify
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
    id="uuid", run_id="uuid", parent_id="uuid", queue="text", pool="text", priority="smallint",
    limited="boolean",
)}, {COUNTED}, made AS (
INSERT INTO dispatches (org, action_id, run_id, parent_id, attempt, queue, pool, priority, limited,
                        enqueued_at, available_at)
SELECT n.org, n.id, n.run_id, n.parent_id, 1, n.queue, n.pool, n.priority, n.limited, :now, :now
FROM n
)
SELECT pool FROM n
UNION
SELECT p.pool FROM n JOIN dispatches p ON p.org = n.org AND p.action_id = n.parent_id
WHERE p.limited AND p.lease_id IS NOT NULL AND p.queue <> n.queue
""")  # fmt: skip

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


@dataclass(frozen=True, slots=True)
class Inserted:
    """A new action, with the id of its parent."""

    admitted: Admitted
    parent: ActionId


async def enqueue(
    tx: OrgTx, requests: Sequence[Enqueue], now: datetime, *, skip_locked: bool = False
) -> Sequence[Answer]:
    """
    Enqueue all requests; the answers are in the order of the requests.

    ``skip_locked``: answer BUSY for those whose run or queue another transaction has locked.
    """
    await tx.plan_for(len(requests))
    admission = await admit(tx, requests, now, skip_locked=skip_locked)
    inserted = await insert(tx, admission.admitted, admission.counters, now)
    pools = await dispatch(tx, inserted, now)
    answers: dict[ActionId, Answer] = dict.fromkeys(
        (each.admitted.request.id for each in inserted), Enqueued.CREATED
    )
    answers |= admission.unchecked
    others = [request for request in requests if request.id not in answers]
    answers |= await classify(tx, others, admission)
    created = {each.admitted.request.id for each in inserted}
    not_created = {
        each.request.id
        for each in admission.admitted
        if each.is_serialized and each.request.id not in created
    }
    wakes = await end_reservations(tx, not_created, now) or admission.wakes_waiters
    if inserted:
        await _touch_hits(tx, inserted, now)
    if inserted or wakes:
        await notify(tx, admission.counters, work=pools, reservations=wakes)
    return [answers[request.id] for request in requests]


async def insert(
    tx: OrgTx, admitted: Sequence[Admitted], counters: Counters, now: datetime
) -> Sequence[Inserted]:
    """
    Write the actions that do not exist yet and whose parent is live; return those.

    Takes the numbers of their changes from ``counters``, which ``notify`` writes back.
    """
    if not admitted:
        return ()
    await save_specs(tx, (each.request.action.spec for each in admitted))
    actions = [each.request.action for each in admitted]
    failures = [action.trace.failure if action.trace else None for action in actions]
    rows = await tx.rows(
        _INSERT,
        {
            "id": [each.request.id for each in admitted],
            "run_id": [each.run.id for each in admitted],
            "name": [action.key.name for action in actions],
            "parent": [action.parent for action in actions],
            "type": [action.type.value for action in actions],
            "spec": [action.spec.digest for action in actions],
            "input_uri": [action.input_uri for action in actions],
            "group_name": [action.group for action in actions],
            "cache_key": [action.cache.key if action.cache else "" for action in actions],
            "task_name": [action.info.name for action in actions],
            "task_version": [action.info.version for action in actions],
            "task_type": [action.info.task_type for action in actions],
            "short_name": [action.info.short_name for action in actions],
            "environment": [action.info.environment for action in actions],
            "function": [action.info.function for action in actions],
            "phase": [_first_phase(each).value for each in admitted],
            "change": [counters.next(each.run.id) for each in admitted],
            "created_at_": [a.trace.started_at if a.trace else now for a in actions],
            "started_at_": [_started_at(each, now) for each in admitted],
            "ended_at_": [_ended_at(each, now) for each in admitted],
            "due_at_": [_due_at(each, now) for each in admitted],
            "output_uri": [_output_uri(each) for each in admitted],
            "error_code": [f.code if f else None for f in failures],
            "error_kind": [f.kind.value if f else None for f in failures],
            "error_message": [f.message if f else None for f in failures],
            "error_recoverable": [f.recoverable if f else None for f in failures],
            "value": [each.recovered.value if each.recovered else None for each in admitted],
            "recovered_from": [
                each.recovered.executed_in if each.recovered else "" for each in admitted
            ],
            "condition_type": [a.condition.literal_type if a.condition else None for a in actions],
            "cache_status": [each.cached.status.value for each in admitted],
            "cached_from": [
                render_source(each.cached.entry.source) if each.cached.entry else None
                for each in admitted
            ],
            "cache_serialized": [each.is_serialized for each in admitted],
            "notify": [_PAUSED if a.condition and a.condition.webhook else 0 for a in actions],
            "now": now,
        },
    )
    parents = {row.id: ActionId(row.parent_id) for row in rows}
    return [
        Inserted(each, parents[each.request.id]) for each in admitted if each.request.id in parents
    ]


async def dispatch(tx: OrgTx, inserted: Sequence[Inserted], now: datetime) -> Collection[str]:
    """
    Make the tasks among new actions available for leasing; return the pools that have work.

    Traces, conditions and actions that take a result over are not dispatched: no cluster runs them.
    Nor are those that wait for an equal action.
    """
    tasks = [
        each
        for each in inserted
        if each.admitted.request.action.type is ActionType.TASK
        and not each.admitted.has_result
        and not each.admitted.waits
    ]
    if not tasks:
        return ()
    of = [each.admitted for each in tasks]
    rows = await tx.rows(
        _DISPATCH,
        {
            "id": [each.request.id for each in of],
            "run_id": [each.run.id for each in of],
            "parent_id": [each.parent for each in tasks],
            "queue": [each.queue.name for each in of],
            "pool": [each.queue.pool for each in of],
            "priority": [each.queue.priority for each in of],
            "limited": [each.queue.is_limited or each.run.is_limited for each in of],
            "now": now,
        },
    )
    return {row.pool for row in rows}


async def classify(
    tx: OrgTx, requests: Sequence[Enqueue], admission: Admission
) -> Mapping[ActionId, Refusal]:
    """
    Return why requests created no action; rare except for parents that replay.

    An action that exists is a repeat, even where its queue is too full for a new one.
    """
    answers: dict[ActionId, Refusal] = {}
    others: list[Enqueue] = []
    for request in requests:
        answer = admission.refused.get(request.id)
        if answer in (Enqueued.BUSY, Enqueued.NO_RUN):
            answers[request.id] = answer
        else:
            others.append(request)
    if not others:
        return answers
    rows = await tx.rows(
        _CLASSIFY,
        {
            "id": [request.id for request in others],
            "run_id": [admission.runs[request.action.key.run].id for request in others],
            "name": [request.action.key.name for request in others],
            "parent": [request.action.parent for request in others],
        },
    )
    found = {row.id: row for row in rows}
    for request in others:
        action, row = request.action, found[request.id]
        content = (action.parent, action.type.value, action.spec.digest, action.input_uri)
        if row.existing is not None:
            same = content == (row.parent, row.type, row.spec, row.input_uri)
            answers[request.id] = Enqueued.REPEATED if same else Enqueued.DIFFERENT
        elif request.id in admission.refused:
            answers[request.id] = admission.refused[request.id]
        elif row.parent_id is None:
            answers[request.id] = Enqueued.NO_PARENT
        else:
            answers[request.id] = Enqueued.PARENT_ENDED
    return answers


async def _touch_hits(tx: OrgTx, inserted: Sequence[Inserted], now: datetime) -> None:
    hits = [
        (each.admitted.request.action.cache, each.admitted.cached.entry)
        for each in inserted
        if each.admitted.request.action.cache and each.admitted.cached.entry
    ]
    await touch_entries(tx, hits, now)


def _first_phase(admitted: Admitted) -> Phase:
    if admitted.recovered:
        return Phase.RECOVERED
    action = admitted.request.action
    match action.type:
        case ActionType.TASK:
            return Phase.SUCCEEDED if admitted.is_hit else Phase.QUEUED
        case ActionType.TRACE:
            return action.trace.phase if action.trace else Phase.SUCCEEDED
        case ActionType.CONDITION:
            return Phase.PAUSED
        case ActionType.UNKNOWN:
            raise ValueError("a new action has no type")


def _started_at(admitted: Admitted, now: datetime) -> datetime | None:
    trace = admitted.request.action.trace
    if trace:
        return trace.started_at
    return now if admitted.has_result else None


def _ended_at(admitted: Admitted, now: datetime) -> datetime | None:
    trace = admitted.request.action.trace
    if trace:
        return trace.ended_at
    return now if admitted.has_result else None


def _output_uri(admitted: Admitted) -> str:
    if admitted.recovered:
        return admitted.recovered.output_uri
    if admitted.cached.entry:
        return admitted.cached.entry.output_uri
    trace = admitted.request.action.trace
    return trace.output_uri if trace else ""


def _due_at(admitted: Admitted, now: datetime) -> datetime | None:
    action = admitted.request.action
    if admitted.has_result:
        return None
    if action.type is ActionType.TASK:
        return due_at(action.spec.policy, Phase.QUEUED, created_at=now, available_at=now)
    if action.condition and action.condition.timeout:
        return now + action.condition.timeout
    return None
