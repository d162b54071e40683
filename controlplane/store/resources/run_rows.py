"""
Inserts the rows of new runs: each run, its root action and its dispatch, by a statement for each table.

``runs`` (one run of a caller) and ``run_batches`` (runs of triggers) decide what to insert; both are
written here, so that a column is filled in one place.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.actions import ActionType
from controlplane.core.artifact_lineage import MAX_INPUT_ARTIFACTS
from controlplane.core.caching import UNCACHED, CacheResult
from controlplane.core.notifications import mask_of
from controlplane.core.queues import Queue
from controlplane.core.quotas import QuotaUsedUp
from controlplane.core.runs import NewRun
from controlplane.core.timeouts import due_at
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.action_counts import COUNTED, parse_used_up, used_up
from controlplane.store.rows import render_source, run_of_source
from controlplane.store.statements import given, only_one, statement
from shared.model.ids import RunId
from shared.model.phases import Phase

_INSERT_RUNS = statement(f"""
{given(
    run_id="uuid", project="text", domain="text", run="text", run_spec="bytea", run_base="text",
    raw_data_base="text", labels="jsonb", source="smallint", queue="text",
    max_action_concurrency="integer", created_by="text", started_at_="timestamptz",
    requested_spec="bytea", cache_overwrite="boolean", cache_scopes="jsonb", relation="smallint",
    related_to="text", recovers="uuid", inputs_of="uuid", forced="jsonb", by_project="text",
    by_domain="text", by_run="text", trigger_task="text", trigger_name="text",
    trigger_revision="bigint", trigger_automation="bytea", root_task="text",
)}
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, raw_data_base,
                  labels, source, queue, max_action_concurrency, created_by, created_at,
                  started_at, requested_spec, cache_overwrite, cache_scopes, relation, related_to,
                  recovers, inputs_of, forced, spawned_by, trigger_task, trigger_name,
                  trigger_revision, trigger_automation, root_task)
SELECT n.org, n.run_id, n.project, n.domain, n.run, 1, n.run_spec, n.run_base, n.raw_data_base,
       n.labels, n.source, n.queue, n.max_action_concurrency, n.created_by, :now, n.started_at,
       n.requested_spec, n.cache_overwrite, n.cache_scopes, n.relation, n.related_to, n.recovers,
       n.inputs_of, n.forced, b.run_id, n.trigger_task, n.trigger_name, n.trigger_revision,
       n.trigger_automation, n.root_task
FROM n
CROSS JOIN LATERAL (
    SELECT 1 FROM projects p
    WHERE p.org = n.org AND p.project = n.project AND p.state = 0 LIMIT 1
) p
LEFT JOIN LATERAL (
    SELECT b.run_id FROM runs b
    WHERE b.org = n.org AND b.project = n.by_project AND b.domain = n.by_domain
      AND {only_one('b.run', 'n.by_run')}
) b ON true
ORDER BY n.project, n.domain, n.run
ON CONFLICT DO NOTHING
RETURNING run_id, {used_up("runs.org", "runs.project")} AS used_up
""")  # fmt: skip

_INSERT_ROOTS = statement(f"""
{given(
    run_id="uuid", name="text", spec="bytea", input_uri="text", cache_key="text",
    task_name="text", task_version="text", task_type="text", short_name="text",
    environment="text", function="text", phase="smallint", due_at_="timestamptz",
    ended_at_="timestamptz", output_uri="text", cache_status="smallint", cached_from="jsonb",
    recovered_from="text", notify="smallint", cache_serialized="boolean",
)}, used AS (
    INSERT INTO artifact_uses (org, project, domain, name, version, run_id)
    SELECT n.org, i.project, i.domain, i.name, i.version, n.run_id
    FROM n CROSS JOIN LATERAL (
        SELECT i.project, i.domain, i.name, i.version FROM input_artifacts i
        WHERE i.org = n.org AND i.input_uri >= n.input_uri AND i.input_uri <= n.input_uri
        ORDER BY i.org, i.input_uri LIMIT {MAX_INPUT_ARTIFACTS}
    ) i
    ON CONFLICT DO NOTHING
)
INSERT INTO actions (org, id, run_id, name, parent, type, spec, input_uri, cache_key, task_name,
                     task_version, task_type, short_name, environment, function, phase, change,
                     created_at, updated_at, due_at, started_at, ended_at, output_uri,
                     cache_status, cached_from, cached_run, recovered_from, notify, cache_serialized)
SELECT n.org, n.run_id, n.run_id, n.name, NULL, {ActionType.TASK.value}, n.spec, n.input_uri,
       n.cache_key, n.task_name, n.task_version, n.task_type, n.short_name, n.environment,
       n.function, n.phase, 1, :now, :now, n.due_at, n.ended_at, n.ended_at, n.output_uri,
       n.cache_status, n.cached_from, {run_of_source("n.cached_from")}, n.recovered_from, n.notify, n.cache_serialized
FROM n
""")  # fmt: skip

_INSERT_DISPATCHES = statement(f"""
{given(
    run_id="uuid", queue="text", pool="text", priority="smallint", limited="boolean",
    available_at_="timestamptz",
)}, {COUNTED}
INSERT INTO dispatches (org, action_id, run_id, is_root, attempt, queue, pool, priority, limited,
                        enqueued_at, available_at)
SELECT n.org, n.run_id, n.run_id, true, 1, n.queue, n.pool, n.priority, n.limited, :now,
       n.available_at
FROM n
""")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToInsert:
    """A run with what its transaction has found out."""

    id: RunId
    new: NewRun
    by: str
    scopes: Collection[str] | None = ()  # where it finds cached results; None: in the whole org
    inputs_of: RunId | None = None  # the run whose data its inputs are


@dataclass(frozen=True, slots=True, kw_only=True)
class RootToInsert:
    """The root of a run that is inserted; it has ended if it takes over an earlier result."""

    id: RunId
    new: NewRun
    cached: CacheResult = UNCACHED

    @property
    def phase(self) -> Phase:
        if self.new.recovered is not None:
            return Phase.RECOVERED
        return Phase.QUEUED if self.cached.entry is None else Phase.SUCCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class RootToDispatch:
    """A root that clusters may start from a time on."""

    id: RunId
    new: NewRun
    queue: Queue
    available_at: datetime


async def insert_runs(
    tx: OrgTx, runs: Sequence[RunToInsert], now: datetime
) -> Mapping[RunId, QuotaUsedUp | None]:
    """
    Insert runs into active projects; return those that were: the names of others are taken.

    The value is the quota of actions per day that had been used up before any of these.
    """
    if not runs:
        return {}
    new = [run.new for run in runs]
    triggers = [each.trigger for each in new]
    spawned_by = [each.spawned_by for each in new]
    rows = await tx.rows(
        _INSERT_RUNS,
        {
            "run_id": [run.id for run in runs],
            "project": [each.key.run.project for each in new],
            "domain": [each.key.run.domain for each in new],
            "run": [each.key.run.name for each in new],
            "run_spec": [each.run_spec.digest for each in new],
            "run_base": [each.run_base for each in new],
            "raw_data_base": [each.raw_data_base for each in new],
            "labels": [json.dumps(dict(each.labels)) for each in new],
            "source": [each.source.value for each in new],
            "queue": [each.queue for each in new],
            "max_action_concurrency": [each.max_action_concurrency for each in new],
            "created_by": [run.by for run in runs],
            "started_at_": [each.started_at or now for each in new],
            "requested_spec": [each.requested_spec for each in new],
            "cache_overwrite": [each.overwrite_cache for each in new],
            "cache_scopes": [
                None if run.scopes is None else json.dumps(sorted(run.scopes)) for run in runs
            ],
            "relation": [each.relation.type.value if each.relation else 0 for each in new],
            "related_to": [each.relation.run if each.relation else None for each in new],
            "recovers": [each.source_run.id if each.source_run else None for each in new],
            "inputs_of": [run.inputs_of for run in runs],
            "forced": [json.dumps(list(each.forced)) for each in new],
            "by_project": [by.project if by else None for by in spawned_by],
            "by_domain": [by.domain if by else None for by in spawned_by],
            "by_run": [by.name if by else None for by in spawned_by],
            "trigger_task": [trigger.task_name if trigger else "" for trigger in triggers],
            "trigger_name": [trigger.name if trigger else "" for trigger in triggers],
            "trigger_revision": [trigger.revision if trigger else 0 for trigger in triggers],
            "trigger_automation": [trigger.automation if trigger else None for trigger in triggers],
            "root_task": [each.info.name for each in new],
            "now": now,
        },
    )
    return {RunId(row.run_id): parse_used_up(row.used_up) for row in rows}


async def insert_roots(tx: OrgTx, roots: Sequence[RootToInsert], now: datetime) -> None:
    """Insert the root actions of runs that were inserted, and which artifacts they take."""
    if not roots:
        return
    new = [root.new for root in roots]
    entries = [root.cached.entry for root in roots]
    results = [root.new.recovered or root.cached.entry for root in roots]
    await tx.execute(
        _INSERT_ROOTS,
        {
            "run_id": [root.id for root in roots],
            "name": [each.key.name for each in new],
            "spec": [each.spec.digest for each in new],
            "input_uri": [each.input_uri for each in new],
            "cache_key": [each.cache.key if each.cache else "" for each in new],
            "task_name": [each.info.name for each in new],
            "task_version": [each.info.version for each in new],
            "task_type": [each.info.task_type for each in new],
            "short_name": [each.info.short_name for each in new],
            "environment": [each.info.environment for each in new],
            "function": [each.info.function for each in new],
            "phase": [root.phase.value for root in roots],
            "due_at_": [_due_at(root, now) for root in roots],
            "ended_at_": [None if root.phase is Phase.QUEUED else now for root in roots],
            "output_uri": [result.output_uri if result else "" for result in results],
            "cache_status": [root.cached.status.value for root in roots],
            "cached_from": [render_source(entry.source) if entry else None for entry in entries],
            "recovered_from": [
                each.recovered.executed_in if each.recovered else "" for each in new
            ],
            "notify": [mask_of(each.notifications.phases) for each in new],
            "cache_serialized": [each.cache is not None and each.cache.serialize for each in new],
            "now": now,
        },
    )


async def insert_dispatches(tx: OrgTx, roots: Sequence[RootToDispatch], now: datetime) -> None:
    """Let clusters start these roots."""
    if not roots:
        return
    await tx.execute(
        _INSERT_DISPATCHES,
        {
            "run_id": [root.id for root in roots],
            "queue": [root.queue.name for root in roots],
            "pool": [root.queue.pool for root in roots],
            "priority": [root.queue.priority for root in roots],
            "limited": [
                root.queue.is_limited or root.new.max_action_concurrency > 0 for root in roots
            ],
            "available_at_": [root.available_at for root in roots],
            "now": now,
        },
    )


def _due_at(root: RootToInsert, now: datetime) -> datetime | None:
    """Return when a root times out; None if it has ended, or if a program runs it."""
    if root.phase is not Phase.QUEUED or root.new.is_tracked:
        return None
    return due_at(root.new.spec.policy, root.phase, created_at=now, available_at=now)
