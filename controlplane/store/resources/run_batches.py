"""Creates many runs, of triggers that are due, in one transaction by a constant number of statements."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.actions import ActionType, RunTrigger
from controlplane.core.notifications import mask_of
from controlplane.core.queues import Queue
from controlplane.core.runs import NewRun
from controlplane.core.timeouts import due_at
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import Counters, notify
from controlplane.store.resources.queues import lock_free_queues, lock_queues
from controlplane.store.resources.runs import Created
from controlplane.store.resources.specs import save_specs
from controlplane.store.statements import given, only_one, statement
from shared.model.ids import RunId
from shared.model.phases import Phase

_INSERT_RUNS = statement(f"""
{given(
    run_id="uuid", project="text", domain="text", run="text", run_spec="bytea", run_base="text",
    raw_data_base="text", labels="text", source="smallint", queue="text",
    max_action_concurrency="integer", created_by="text", started_at_="timestamptz",
    cache_overwrite="boolean",
    trigger_task="text", trigger_name="text", trigger_revision="bigint",
    trigger_automation="bytea", root_task="text",
)}
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, raw_data_base,
                  labels, source, queue, max_action_concurrency, created_by, created_at,
                  started_at, cache_overwrite, trigger_task, trigger_name, trigger_revision, trigger_automation,
                  root_task)
SELECT n.org, n.run_id, n.project, n.domain, n.run, 0, n.run_spec, n.run_base, n.raw_data_base,
       CAST(n.labels AS jsonb), n.source, n.queue, n.max_action_concurrency, n.created_by, :now,
       n.started_at, n.cache_overwrite, n.trigger_task, n.trigger_name, n.trigger_revision, n.trigger_automation,
       n.root_task
FROM n
CROSS JOIN LATERAL (
    SELECT 1 FROM projects p
    WHERE p.org = n.org AND p.project = n.project AND p.state = 0 LIMIT 1
) p
ORDER BY n.project, n.domain, n.run
ON CONFLICT DO NOTHING
RETURNING run_id
""")  # fmt: skip

_INSERT_ROOTS = statement(f"""
{given(
    run_id="uuid", name="text", spec="bytea", input_uri="text", task_name="text",
    task_version="text", task_type="text", short_name="text", environment="text",
    function="text", due_at_="timestamptz", notify="smallint",
)}
INSERT INTO actions (org, id, run_id, name, parent, type, spec, input_uri, task_name,
                     task_version, task_type, short_name, environment, function, phase, change,
                     created_at, updated_at, due_at, notify)
SELECT n.org, n.run_id, n.run_id, n.name, NULL, {ActionType.TASK.value}, n.spec, n.input_uri,
       n.task_name, n.task_version, n.task_type, n.short_name, n.environment,
       n.function, {Phase.QUEUED.value}, 1, :now, :now, n.due_at, n.notify
FROM n
""")  # fmt: skip

_INSERT_DISPATCHES = statement(f"""
{given(run_id="uuid", queue="text", pool="text", priority="smallint", limited="boolean")}
INSERT INTO dispatches (org, action_id, run_id, is_root, attempt, queue, pool, priority, limited,
                        enqueued_at, available_at)
SELECT n.org, n.run_id, n.run_id, true, 1, n.queue, n.pool, n.priority, n.limited, :now, :now
FROM n
""")

_WHY_NOT = statement(f"""
{given(run_id="uuid", project="text", domain="text", run="text", trigger_task="text",
       trigger_name="text")}
SELECT n.run_id, p.state,
       r.trigger_task = n.trigger_task AND r.trigger_name = n.trigger_name AS same
FROM n
LEFT JOIN LATERAL (
    SELECT p.state FROM projects p WHERE p.org = n.org AND p.project = n.project LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT r.trigger_task, r.trigger_name FROM runs r
    WHERE r.org = n.org AND r.project = n.project AND r.domain = n.domain
      AND {only_one('r.run', 'n.run')}
) r ON true
""")  # fmt: skip


@dataclass(frozen=True, slots=True)
class TriggeredRun:
    """A run of a trigger to create; its inputs are stored."""

    id: RunId
    new: NewRun  # with a trigger and a start
    by: str


async def create_triggered_runs(
    tx: OrgTx, runs: Sequence[TriggeredRun], now: datetime, *, skip_locked: bool = False
) -> Mapping[RunId, Created]:
    """
    Insert runs with their root actions and dispatches, in the order given while queues last.

    Roots are not cached. Their children find cached results of their own project and domain: there
    is no caller whose grants would tell of others.

    REPEATED: the same trigger has started a run of that name. ``skip_locked``: answer BUSY for
    those whose queue another transaction has locked.
    """
    if not runs:
        return {}
    await tx.plan_for(len(runs))
    names = [run.new.queue for run in runs]
    busy: Collection[str] = ()
    if skip_locked:
        capacities, busy = await lock_free_queues(tx, names)
    else:
        capacities = await lock_queues(tx, names)
    answers: dict[RunId, Created] = {}
    queues: dict[RunId, Queue] = {}
    for run in runs:
        queue = capacities.find(run.new.queue)
        if run.new.queue in busy:
            answers[run.id] = Created.BUSY
        elif queue is None:
            answers[run.id] = Created.NO_QUEUE
        elif not capacities.take(queue.name):
            answers[run.id] = Created.QUEUE_FULL
        else:
            queues[run.id] = queue
    entering = [run for run in runs if run.id in queues]
    if entering:
        await save_specs(
            tx, (spec for run in entering for spec in (run.new.spec, run.new.run_spec))
        )
        inserted = await _insert_runs(tx, entering, now)
        answers |= dict.fromkeys(inserted, Created.CREATED)
        created = [run for run in entering if run.id in inserted]
        await _insert_roots(tx, created, queues, now)
        answers |= await _why_not(tx, [run for run in entering if run.id not in inserted])
    return answers


async def _insert_runs(tx: OrgTx, runs: Sequence[TriggeredRun], now: datetime) -> set[RunId]:
    created = [run.new for run in runs]
    triggers = [_trigger(new) for new in created]
    rows = await tx.rows(
        _INSERT_RUNS,
        {
            "run_id": [run.id for run in runs],
            "project": [new.key.run.project for new in created],
            "domain": [new.key.run.domain for new in created],
            "run": [new.key.run.name for new in created],
            "run_spec": [new.run_spec.digest for new in created],
            "run_base": [new.run_base for new in created],
            "raw_data_base": [new.raw_data_base for new in created],
            "labels": [json.dumps(dict(new.labels)) for new in created],
            "source": [new.source.value for new in created],
            "queue": [new.queue for new in created],
            "max_action_concurrency": [new.max_action_concurrency for new in created],
            "created_by": [run.by for run in runs],
            "started_at_": [new.started_at or now for new in created],
            "cache_overwrite": [new.overwrite_cache for new in created],
            "trigger_task": [trigger.task_name for trigger in triggers],
            "trigger_name": [trigger.name for trigger in triggers],
            "trigger_revision": [trigger.revision for trigger in triggers],
            "trigger_automation": [trigger.automation for trigger in triggers],
            "root_task": [new.info.name for new in created],
            "now": now,
        },
    )
    return {RunId(row.run_id) for row in rows}


async def _insert_roots(
    tx: OrgTx, runs: Sequence[TriggeredRun], queues: Mapping[RunId, Queue], now: datetime
) -> None:
    if not runs:
        return
    created = [run.new for run in runs]
    of = [queues[run.id] for run in runs]
    await tx.execute(
        _INSERT_ROOTS,
        {
            "run_id": [run.id for run in runs],
            "name": [new.key.name for new in created],
            "spec": [new.spec.digest for new in created],
            "input_uri": [new.input_uri for new in created],
            "task_name": [new.info.name for new in created],
            "task_version": [new.info.version for new in created],
            "task_type": [new.info.task_type for new in created],
            "short_name": [new.info.short_name for new in created],
            "environment": [new.info.environment for new in created],
            "function": [new.info.function for new in created],
            "notify": [mask_of(new.notifications.phases) for new in created],
            "due_at_": [
                due_at(new.spec.policy, Phase.QUEUED, created_at=now, available_at=now)
                for new in created
            ],
            "now": now,
        },
    )
    await tx.execute(
        _INSERT_DISPATCHES,
        {
            "run_id": [run.id for run in runs],
            "queue": [queue.name for queue in of],
            "pool": [queue.pool for queue in of],
            "priority": [queue.priority for queue in of],
            "limited": [
                queue.is_limited or new.max_action_concurrency > 0
                for queue, new in zip(of, created, strict=True)
            ],
            "now": now,
        },
    )
    counters = Counters(dict.fromkeys((run.id for run in runs), 0))
    for run in runs:
        counters.next(run.id)
    await notify(tx, counters, work=[queue.pool for queue in of])


async def _why_not(tx: OrgTx, runs: Sequence[TriggeredRun]) -> Mapping[RunId, Created]:
    if not runs:
        return {}
    keys = [run.new.key.run for run in runs]
    triggers = [_trigger(run.new) for run in runs]
    rows = await tx.rows(
        _WHY_NOT,
        {
            "run_id": [run.id for run in runs],
            "project": [key.project for key in keys],
            "domain": [key.domain for key in keys],
            "run": [key.name for key in keys],
            "trigger_task": [trigger.task_name for trigger in triggers],
            "trigger_name": [trigger.name for trigger in triggers],
        },
    )
    return {RunId(row.run_id): _classify(row.state, same=row.same) for row in rows}


def _classify(state: int | None, *, same: bool | None) -> Created:
    if state is None:
        return Created.NO_PROJECT
    if same is not None:
        return Created.REPEATED if same else Created.TAKEN
    return Created.ARCHIVED_PROJECT


def _trigger(new: NewRun) -> RunTrigger:
    if new.trigger is None:
        raise ValueError(f"run {new.key.run} has no trigger")
    return new.trigger
