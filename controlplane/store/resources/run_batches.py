"""Creates many runs, of triggers that are due, in one transaction by a constant number of statements."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.actions import RunTrigger
from controlplane.core.queues import Queue
from controlplane.core.runs import NewRun
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import Counters, notify
from controlplane.store.resources.queues import lock_free_queues, lock_queues
from controlplane.store.resources.run_rows import (
    RootToDispatch,
    RootToInsert,
    RunToInsert,
    insert_dispatches,
    insert_roots,
    insert_runs,
)
from controlplane.store.resources.runs import Created
from controlplane.store.resources.specs import save_specs
from controlplane.store.statements import given, only_one, statement
from shared.model.ids import RunId

_DELETE_RUNS = statement(f"""
{given(run_id="uuid")}
DELETE FROM runs r USING n WHERE r.org = n.org AND r.run_id = n.run_id
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
        rows = [RunToInsert(id=run.id, new=run.new, by=run.by) for run in entering]
        inserted = await insert_runs(tx, rows, now)
        over = [run for run, used_up in inserted.items() if used_up is not None]
        if over:
            await tx.execute(_DELETE_RUNS, {"run_id": over})
        answers |= dict.fromkeys(inserted, Created.CREATED) | dict.fromkeys(
            over, Created.OVER_QUOTA
        )
        created = [run for run in entering if run.id in inserted and run.id not in over]
        await _insert_started(tx, created, queues, now)
        answers |= await _why_not(tx, [run for run in entering if run.id not in inserted])
    return answers


async def _insert_started(
    tx: OrgTx, runs: Sequence[TriggeredRun], queues: Mapping[RunId, Queue], now: datetime
) -> None:
    if not runs:
        return
    await insert_roots(tx, [RootToInsert(id=run.id, new=run.new) for run in runs], now)
    dispatches = [
        RootToDispatch(id=run.id, new=run.new, queue=queues[run.id], available_at=now)
        for run in runs
    ]
    await insert_dispatches(tx, dispatches, now)
    counters = Counters(dict.fromkeys((run.id for run in runs), 0))
    for run in runs:
        counters.next(run.id)
    await notify(tx, counters, work=[each.queue.pool for each in dispatches])


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
