"""Deploys, finds and lists tasks; a deployed version is immutable."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from controlplane.core.actions import RunSource
from controlplane.core.lists import Listing
from controlplane.core.tasks import (
    LatestRun,
    NewTask,
    TaskDetail,
    TaskKey,
    TaskPage,
    TaskRow,
    TaskScope,
    TriggersSummary,
)
from controlplane.store.database import OrgTx
from controlplane.store.resources.filters import (
    Field,
    among,
    booleans,
    restrict,
    text_field,
    timestamp_field,
)
from controlplane.store.resources.pages import Key, page
from controlplane.store.resources.scopes import within
from controlplane.store.resources.specs import save_specs
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from controlplane.store.tables import specs, tasks
from shared.model.ids import Digest, DomainName, ProjectName, RunName
from shared.model.phases import Phase

RUNS_OF_VERSIONS = 1_000
"""The newest runs of a task, among which the newest one of each version is looked for."""

_SUMMARIES = statement(f"""
{given(project="text", domain="text", task_name="text", task_version="text")}
SELECT n.project, n.domain, n.task_name, n.task_version, count(*) AS total,
       count(*) FILTER (WHERE t.active) AS active, min(t.name) AS name,
       (array_agg(t.automation ORDER BY t.name))[1] AS automation
FROM n JOIN triggers t
  ON t.org = n.org AND t.project = n.project AND t.domain = n.domain
 AND t.task_name = n.task_name AND t.task_version = n.task_version
WHERE t.deleted_at IS NULL
GROUP BY n.project, n.domain, n.task_name, n.task_version
""")

# In the order of the index, so that it is the only way to read one row.
_LATEST_RUNS = statement(f"""
{given(project="text", domain="text", task_name="text")}
SELECT n.project, n.domain, n.task_name, r.run, r.created_at, a.phase
FROM n
CROSS JOIN LATERAL (
    SELECT r.run_id, r.run, r.created_at FROM runs r
    WHERE r.org = n.org AND r.project = n.project AND r.domain = n.domain
      AND r.root_task = n.task_name AND r.root_task <> '' AND r.source <> {RunSource.TRACKED.value}
    ORDER BY r.org, r.project, r.domain, r.root_task, r.created_at DESC, r.run_id LIMIT 1
) r
CROSS JOIN LATERAL (
    SELECT a.phase FROM actions a WHERE a.org = n.org AND a.id = r.run_id LIMIT 1
) a
""")


# The newest run of each version among the newest runs of the task.
_LATEST_OF_VERSIONS = statement(f"""
SELECT DISTINCT ON (a.task_version) a.task_version, r.run, r.created_at, a.phase
FROM (
    SELECT r.org, r.run_id, r.run, r.created_at FROM runs r
    WHERE r.org = :org AND r.project = :project AND r.domain = :domain
      AND r.root_task = :task_name AND r.root_task <> '' AND r.source <> {RunSource.TRACKED.value}
    ORDER BY r.org, r.project, r.domain, r.root_task, r.created_at DESC, r.run_id
    LIMIT {RUNS_OF_VERSIONS}
) r
CROSS JOIN LATERAL (
    SELECT a.task_version, a.phase FROM actions a WHERE a.org = r.org AND a.id = r.run_id LIMIT 1
) a
ORDER BY a.task_version, r.created_at DESC, r.run_id
""")


async def deploy_task(tx: OrgTx, new: NewTask, *, by: str, now: datetime) -> Digest:
    """Insert a version unless it exists; return the digest of the spec that it has."""
    await save_specs(tx, [new.spec])
    await tx.connection.execute(
        insert(tasks)
        .values(
            org=tx.org,
            project=new.key.project,
            domain=new.key.domain,
            name=new.key.name,
            version=new.key.version,
            spec=new.spec.digest,
            task_type=new.info.task_type,
            short_name=new.info.short_name,
            environment=new.info.environment,
            function=new.info.function,
            description=new.description,
            is_entrypoint=new.is_entrypoint,
            deployed_by=by,
            deployed_at=now,
        )
        .on_conflict_do_nothing()
    )
    kept = await tx.connection.execute(_of(select(tasks.c.spec), tx, new.key))
    return Digest(kept.scalar_one())


async def find_task(tx: OrgTx, key: TaskKey) -> TaskDetail | None:
    query = select(tasks, specs.c.body).join(
        specs, (specs.c.org == tasks.c.org) & (specs.c.digest == tasks.c.spec)
    )
    row = (await tx.connection.execute(_of(query, tx, key))).first()
    if row is None:
        return None
    [parsed] = await _with_triggers(tx, [_parse(row)])
    return TaskDetail(row=parsed, spec=row.body)


async def list_tasks(tx: OrgTx, scope: TaskScope, listing: Listing) -> TaskPage:
    """List the latest version of each task, newest first by default."""
    latest = (
        _within(tx, scope)
        .ext(distinct_on(tasks.c.project, tasks.c.domain, tasks.c.name))
        .order_by(
            tasks.c.project,
            tasks.c.domain,
            tasks.c.name,
            tasks.c.deployed_at.desc(),
            tasks.c.version.desc(),
        )
        .subquery("latest")
    )
    query = select(latest)
    if scope.deployed_by:
        query = query.where(latest.c.deployed_by == scope.deployed_by)
    if scope.is_entrypoint is not None:
        query = query.where(latest.c.is_entrypoint == scope.is_entrypoint)
    found = await _page(tx, query, latest.c, listing)
    names = _within(tx, scope).with_only_columns(tasks.c.project, tasks.c.domain, tasks.c.name)
    total = await _count(tx, names.distinct())
    narrowed = bool(listing.filters) or scope.deployed_by or scope.is_entrypoint is not None
    filtered = restrict(query, _fields(latest.c), listing.filters)
    return replace(
        found,
        rows=await _with_latest_runs(tx, found.rows),
        total=total,
        filtered_total=await _count(tx, filtered) if narrowed else total,
    )


async def list_versions(tx: OrgTx, scope: TaskScope, listing: Listing) -> TaskPage:
    """
    List every version of the task in ``scope``, newest first by default, each with its newest run.

    A version has none if it is not among the newest ``RUNS_OF_VERSIONS`` of the task.
    """
    found = await _page(tx, _within(tx, scope), tasks.c, listing)
    return replace(found, rows=await _with_latest_of_versions(tx, scope, found.rows))


def _of(query: Select[Any], tx: OrgTx, key: TaskKey) -> Select[Any]:
    return query.where(
        tasks.c.org == tx.org,
        tasks.c.project == key.project,
        tasks.c.domain == key.domain,
        tasks.c.name == key.name,
        tasks.c.version == key.version,
    )


def _within(tx: OrgTx, scope: TaskScope) -> Select[Any]:
    query = select(tasks).where(
        tasks.c.org == tx.org, within(scope.within, tasks.c.project, tasks.c.domain)
    )
    for column, required in (
        (tasks.c.project, scope.project),
        (tasks.c.domain, scope.domain),
        (tasks.c.name, scope.name),
    ):
        if required:
            query = query.where(column == required)
    return query


async def _count(tx: OrgTx, query: Select[Any]) -> int:
    counted = await tx.connection.execute(select(func.count()).select_from(query.subquery()))
    return int(counted.scalar_one())


def _fields(columns: Any) -> Callable[[str], Field]:
    return among({
        "project": text_field(columns.project),
        "domain": text_field(columns.domain),
        "name": text_field(columns.name),
        "version": text_field(columns.version),
        "short_name": text_field(columns.short_name),
        "task_type": text_field(columns.task_type),
        "environment": text_field(columns.environment),
        "environment_name": text_field(columns.environment),
        "function_name": text_field(columns.function),
        "is_entrypoint": booleans(columns.is_entrypoint),
        "deployed_by": text_field(columns.deployed_by),
        "deployed_at": timestamp_field(columns.deployed_at),
        "created_at": timestamp_field(columns.deployed_at),
    })  # fmt: skip


async def _page(tx: OrgTx, query: Select[Any], columns: Any, listing: Listing) -> TaskPage:
    newest = (
        Key(timestamp_field(columns.deployed_at), ascending=False),
        Key(text_field(columns.project)),
        Key(text_field(columns.domain)),
        Key(text_field(columns.name)),
        Key(text_field(columns.version), ascending=False),
    )
    rows, token = await page(tx, query, _fields(columns), listing, newest)
    return TaskPage(await _with_triggers(tx, [_parse(row) for row in rows]), token)


async def _with_triggers(tx: OrgTx, rows: Sequence[TaskRow]) -> Sequence[TaskRow]:
    """Add the summaries of their triggers to versions of tasks."""
    if not rows:
        return rows
    found = await tx.rows(
        _SUMMARIES,
        {
            "project": [row.key.project for row in rows],
            "domain": [row.key.domain for row in rows],
            "task_name": [row.key.name for row in rows],
            "task_version": [row.key.version for row in rows],
        },
    )
    summaries = {
        TaskKey(each.project, each.domain, each.task_name, each.task_version): TriggersSummary(
            total=each.total, active=each.active, name=each.name, automation=each.automation
        )
        for each in found
    }
    return [replace(row, triggers=summaries.get(row.key)) for row in rows]


async def _with_latest_runs(tx: OrgTx, rows: Sequence[TaskRow]) -> Sequence[TaskRow]:
    """Add the newest run of each task, by one probe of an index for each."""
    if not rows:
        return rows
    found = await tx.rows(
        _LATEST_RUNS,
        {
            "project": [row.key.project for row in rows],
            "domain": [row.key.domain for row in rows],
            "task_name": [row.key.name for row in rows],
        },
    )
    latest = {
        (each.project, each.domain, each.task_name): LatestRun(
            RunName(each.run), each.created_at, parse_enum(each.phase, Phase.UNKNOWN)
        )
        for each in found
    }
    return [
        replace(row, latest_run=latest.get((row.key.project, row.key.domain, row.key.name)))
        for row in rows
    ]


async def _with_latest_of_versions(
    tx: OrgTx, scope: TaskScope, rows: Sequence[TaskRow]
) -> Sequence[TaskRow]:
    if not rows:
        return rows
    values = {"project": scope.project, "domain": scope.domain, "task_name": scope.name}
    latest = {
        each.task_version: LatestRun(
            RunName(each.run), each.created_at, parse_enum(each.phase, Phase.UNKNOWN)
        )
        for each in await tx.rows(_LATEST_OF_VERSIONS, values)
    }
    return [replace(row, latest_run=latest.get(row.key.version)) for row in rows]


def _parse(row: Any) -> TaskRow:
    return TaskRow(
        key=TaskKey(ProjectName(row.project), DomainName(row.domain), row.name, row.version),
        short_name=row.short_name,
        task_type=row.task_type,
        environment=row.environment,
        function=row.function,
        description=row.description,
        is_entrypoint=row.is_entrypoint,
        deployed_by=row.deployed_by,
        deployed_at=row.deployed_at,
    )
