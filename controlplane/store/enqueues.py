"""
Taking in actions, many at a time: one transaction for everything that waits.

Enqueueing is idempotent by (run, action name): a repeat with the same content changes
nothing, one with other content is told so, and what was there first stays.

A batch waits for no run and no queue that another transaction has locked, unless it is asked
to: those are answered BUSY, so that one locked run delays nobody else's actions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from controlplane.core.actions import ActionType, NewAction
from controlplane.core.queues import Queue
from controlplane.core.timeouts import due_at
from controlplane.store.cascades import above
from controlplane.store.changes import Counters, tell
from controlplane.store.database import OrgTx
from controlplane.store.guards import is_live
from controlplane.store.limits import WAITS_IN_QUEUE
from controlplane.store.queues import lock_free_queues, lock_queues
from controlplane.store.specs import save_specs
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, RunId, RunKey
from shared.model.phases import Phase


class Enqueued(Enum):
    """What became of a wish to enqueue."""

    CREATED = auto()
    REPEATED = auto()  # it was there, with the same content
    DIFFERENT = auto()  # it was there, with other content, which stays
    NO_RUN = auto()
    NO_PARENT = auto()
    PARENT_ENDED = auto()
    NO_QUEUE = auto()
    QUEUE_FULL = auto()
    BUSY = auto()  # another transaction has locked its run or queue: try again, apart


@dataclass(frozen=True, slots=True)
class Enqueue:
    id: ActionId  # what it is given if it is new
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

# Returns the pools with work: its own, and that of a parent which has lost its place in another
# queue's limit, because what it waits for is not there.
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
    """A locked run, with what its actions take over from it."""

    id: RunId
    queue: str
    is_limited: bool


async def enqueue(
    tx: OrgTx, wishes: Sequence[Enqueue], now: datetime, *, skip_locked: bool = False
) -> Sequence[Enqueued]:
    """
    Take in all of them; the answers are in the order of the wishes.

    ``skip_locked``: answer BUSY for those whose run or queue another transaction has locked.
    """
    await tx.plan_for(len(wishes))
    runs, counters = await _lock_runs(tx, wishes, skip_locked=skip_locked)
    known = [wish for wish in wishes if wish.action.key.run in runs]
    answers: dict[UUID, Enqueued] = {}
    if skip_locked:
        missing = {wish.action.key.run for wish in wishes if wish.action.key.run not in runs}
        exist = await _find_which_exist(tx, missing) if missing else set()
        answers = {wish.id: Enqueued.BUSY for wish in wishes if wish.action.key.run in exist}
    if not known:
        return [answers.get(wish.id, Enqueued.NO_RUN) for wish in wishes]
    queues = {wish.id: _queue(wish, runs) for wish in known}
    if skip_locked:
        rooms, locked = await lock_free_queues(tx, queues.values())
        answers |= {wish.id: Enqueued.BUSY for wish in known if queues[wish.id] in locked}
        known = [wish for wish in known if wish.id not in answers]
    else:
        rooms = await lock_queues(tx, queues.values())
    welcome: list[Enqueue] = []
    refused: list[Enqueue] = []
    for wish in known:
        if rooms.find(queues[wish.id]) is None:
            answers[wish.id] = Enqueued.NO_QUEUE
        elif wish.action.type is ActionType.TASK and not rooms.take(queues[wish.id]):
            answers[wish.id] = Enqueued.QUEUE_FULL
            refused.append(wish)
        else:
            welcome.append(wish)
    if refused:
        only_children = await _find_only_children(tx, refused, runs, queues)
        welcome.extend(wish for wish in refused if wish.id in only_children)
    await save_specs(tx, (wish.action.spec for wish in welcome))
    created = await _insert(tx, welcome, runs, counters, now)
    waiting = [
        wish for wish in welcome if wish.id in created and wish.action.type is ActionType.TASK
    ]
    work: set[str] = set()
    if waiting:
        places = [rooms.find(queues[wish.id]) or Queue(name="") for wish in waiting]
        of = [runs[wish.action.key.run] for wish in waiting]
        rows = await tx.rows(
            _DISPATCH,
            {
                "id": [wish.id for wish in waiting],
                "run_id": [run.id for run in of],
                "parent_id": [created[wish.id] for wish in waiting],
                "queue": [place.name for place in places],
                "pool": [place.pool for place in places],
                "urgency": [-place.priority for place in places],
                "limited": [
                    place.is_limited or run.is_limited
                    for place, run in zip(places, of, strict=True)
                ],
                "now": now,
            },
        )
        work = {row.pool for row in rows}
    # One that is there already is a repeat, even where a new one would find no room.
    rest = [wish for wish in known if wish.id not in created]
    answers.update(await _classify(tx, rest, runs, answers))
    if created:
        await tell(tx, counters, work=work)
    return [
        Enqueued.CREATED if wish.id in created else answers.get(wish.id, Enqueued.NO_RUN)
        for wish in wishes
    ]


def _queue(wish: Enqueue, runs: Mapping[RunKey, _Run]) -> str:
    return wish.action.queue or runs[wish.action.key.run].queue


async def _lock_runs(
    tx: OrgTx, wishes: Sequence[Enqueue], *, skip_locked: bool
) -> tuple[Mapping[RunKey, _Run], Counters]:
    rows = await tx.rows(
        _LOCK_FREE_RUNS if skip_locked else _LOCK_RUNS,
        _names({wish.action.key.run for wish in wishes}),
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
    Find those that enter a full queue: each parent under way in it may have one child waiting.

    Else what waits before the child would wait for the parent's place, and the parent for it.
    """
    rows = await tx.rows(
        _ONLY_CHILDREN,
        {
            "id": [wish.id for wish in refused],
            "run_id": [runs[wish.action.key.run].id for wish in refused],
            "parent": [wish.action.parent for wish in refused],
            "queue": [queues[wish.id] for wish in refused],
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
    wishes: Sequence[Enqueue],
    runs: Mapping[RunKey, _Run],
    counters: Counters,
    now: datetime,
) -> Mapping[UUID, UUID]:
    """Insert those that are new and whose parent lives; returns them, with their parents."""
    if not wishes:
        return {}
    actions = [wish.action for wish in wishes]
    failures = [action.trace.failure if action.trace else None for action in actions]
    rows = await tx.rows(
        _INSERT,
        {
            "id": [wish.id for wish in wishes],
            "run_id": [runs[action.key.run].id for action in actions],
            "name": [action.key.name for action in actions],
            "parent": [action.parent for action in actions],
            "type": [action.type.value for action in actions],
            "spec": [action.spec.digest for action in actions],
            "input_uri": [action.input_uri for action in actions],
            "group_name": [action.group for action in actions],
            "cache_key": [action.cache_key for action in actions],
            "task_name": [action.facts.name for action in actions],
            "task_version": [action.facts.version for action in actions],
            "task_type": [action.facts.task_type for action in actions],
            "short_name": [action.facts.short_name for action in actions],
            "environment": [action.facts.environment for action in actions],
            "function": [action.facts.function for action in actions],
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
    wishes: Sequence[Enqueue],
    runs: Mapping[RunKey, _Run],
    turned_away: Mapping[UUID, Enqueued],
) -> Mapping[UUID, Enqueued]:
    """Say why some were not created; rare but for parents that replay."""
    if not wishes:
        return {}
    rows = await tx.rows(
        _CLASSIFY,
        {
            "id": [wish.id for wish in wishes],
            "run_id": [runs[wish.action.key.run].id for wish in wishes],
            "name": [wish.action.key.name for wish in wishes],
            "parent": [wish.action.parent for wish in wishes],
        },
    )
    found = {row.id: row for row in rows}
    answers: dict[UUID, Enqueued] = {}
    for wish in wishes:
        action, row = wish.action, found[wish.id]
        content = (action.parent, action.type.value, action.spec.digest, action.input_uri)
        if row.existing is not None:
            same = content == (row.parent, row.type, row.spec, row.input_uri)
            answers[wish.id] = Enqueued.REPEATED if same else Enqueued.DIFFERENT
        elif wish.id in turned_away:
            answers[wish.id] = turned_away[wish.id]
        elif row.parent_id is None:
            answers[wish.id] = Enqueued.NO_PARENT
        else:
            answers[wish.id] = Enqueued.PARENT_ENDED
    return answers
