"""
Saves, finds and lists triggers and their revisions.

A deployment first takes an advisory lock of its task, then locks triggers by key; both come
before queues and runs.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select

from controlplane.core.actions import Spec, SpecKind
from controlplane.core.lists import Listing
from controlplane.core.schedules import CronSchedule, RateSchedule, Schedule
from controlplane.core.triggers import (
    MOST_REVISIONS,
    ArtifactMatch,
    AutomationType,
    Origin,
    Overlap,
    RevisionAction,
    TriggerKey,
    TriggerPage,
    TriggerRow,
    TriggerScope,
)
from controlplane.store.database import OrgTx
from controlplane.store.notify.changes import notify_triggers
from controlplane.store.resources.filters import (
    among,
    booleans,
    numbers,
    text_field,
    timestamp_field,
)
from controlplane.store.resources.pages import Key, page
from controlplane.store.resources.scopes import within
from controlplane.store.resources.specs import digest_of, save_specs
from controlplane.store.resources.trigger_keys import KEYS, SAME_KEY, key_arrays, key_values
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from controlplane.store.tables import specs
from controlplane.store.trigger_tables import trigger_revisions, triggers
from shared.model.ids import DomainName, ProjectName

_CONTENT = {
    "revision": "bigint",
    "action": "smallint",
    "task_version": "text",
    "spec": "bytea",
    "automation": "bytea",
    "automation_type": "smallint",
    "active": "boolean",
    "input_uri": "text",
    "description": "text",
    "origin": "smallint",
    "deployed_by": "text",
    "updated_by": "text",
    "deployed_at_": "timestamptz",
    "updated_at_": "timestamptz",
    "triggered_at_": "timestamptz",
    "deleted_at_": "timestamptz",
}
PROGRESS = {
    "triggered_at_": "timestamptz",
    "fire_at_": "timestamptz",
    "wake_at_": "timestamptz",
    "late": "integer",
    "skipped": "bigint",
    "error": "text",
    "error_at_": "timestamptz",
    "firings": "bigint",
}
"""Columns that the scheduler changes."""
_SCHEDULE = {
    "cron": "text",
    "zone": "text",
    "every": "interval",
    "anchor_at_": "timestamptz",
    "from_anchor": "boolean",
    "overlap": "smallint",
    "artifact": "text",
    "artifact_version": "text",
    "artifact_partitions": "jsonb",
}
_ALL = KEYS | _CONTENT | _SCHEDULE | PROGRESS


def _names(columns: Collection[str], prefix: str = "") -> str:
    return ", ".join(prefix + column.removesuffix("_") for column in columns)


_LOCK_TASK = statement("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:name AS text), 0))")

_SELECT = """
SELECT t.*, s.body AS spec_body
FROM {source} JOIN specs s ON s.org = t.org AND s.digest = t.spec
"""
_FIND = statement(f"""
{given(**KEYS)}
{_SELECT.format(source=f"n JOIN triggers t ON {SAME_KEY}")}
""")
_LOCK = statement(f"""
{given(**KEYS)}
{_SELECT.format(source=f"n JOIN triggers t ON {SAME_KEY}")}
ORDER BY t.project, t.domain, t.task_name, t.name FOR NO KEY UPDATE OF t
""")
_LOCK_OF_TASK = statement(f"""
{_SELECT.format(source="triggers t")}
WHERE t.org = :org AND t.project = :project AND t.domain = :domain AND t.task_name = :task_name
ORDER BY t.name FOR NO KEY UPDATE OF t
""")
_COUNT = statement("""
SELECT count(*) AS found FROM (
    SELECT 1 FROM triggers
    WHERE org = :org AND project = :project AND domain = :domain AND deleted_at IS NULL
    LIMIT :most
) t
""")

_UPDATED = ", ".join(
    f"{column} = EXCLUDED.{column}"
    for column in (name.removesuffix("_") for name in _ALL if name not in KEYS)
)
_SAVE = statement(f"""
{given(**_ALL)}, saved AS (
    INSERT INTO triggers (org, {_names(_ALL)})
    SELECT n.org, {_names(_ALL, "n.")} FROM n
    ON CONFLICT (org, project, domain, task_name, name) DO UPDATE SET {_UPDATED}
), old AS (
    DELETE FROM trigger_revisions t USING n
    WHERE {SAME_KEY} AND t.revision <= n.revision - :kept
)
INSERT INTO trigger_revisions (org, {_names({**KEYS, **_CONTENT})})
SELECT n.org, {_names({**KEYS, **_CONTENT}, "n.")} FROM n
""")  # fmt: skip

_FIND_REVISION = statement(f"""
{_SELECT.format(source="trigger_revisions t")}
WHERE t.org = :org AND t.project = :project AND t.domain = :domain AND t.task_name = :task_name
  AND t.name = :name AND t.revision = :revision
""")


async def lock_task(
    tx: OrgTx, project: ProjectName, domain: DomainName, task_name: str
) -> Sequence[TriggerRow]:
    """
    Serialise deployments of a task and its triggers until commit.

    Returns its triggers, locked; deleted ones are among them.
    """
    task = {"project": project, "domain": domain, "task_name": task_name}
    name = f"volary triggers/{tx.org}/{project}/{domain}/{task_name}"
    await tx.execute(_LOCK_TASK, {"name": name})
    return [parse_trigger(row) for row in await tx.rows(_LOCK_OF_TASK, task)]


async def lock_triggers(tx: OrgTx, keys: Collection[TriggerKey]) -> Mapping[TriggerKey, TriggerRow]:
    """Lock triggers by key until commit; deleted and unknown ones are left out."""
    rows = [parse_trigger(row) for row in await tx.rows(_LOCK, key_arrays(sorted(set(keys))))]
    return {row.key: row for row in rows if row.deleted_at is None}


async def count_triggers(tx: OrgTx, project: ProjectName, domain: DomainName, *, most: int) -> int:
    """Count the triggers of a project and domain, up to ``most``."""
    rows = await tx.rows(_COUNT, {"project": project, "domain": domain, "most": most})
    return int(rows[0].found)


async def save_triggers(tx: OrgTx, rows: Sequence[TriggerRow]) -> None:
    """Write triggers that this transaction has locked, each with its revision; wake the scheduler."""
    if not rows:
        return
    await save_specs(
        tx,
        (Spec(digest=digest_of(row.spec), kind=SpecKind.TRIGGER, body=row.spec) for row in rows),
    )
    await tx.execute(
        _SAVE,
        {
            **key_arrays([row.key for row in rows]),
            "revision": [row.revision for row in rows],
            "action": [row.action.value for row in rows],
            "task_version": [row.task_version for row in rows],
            "spec": [digest_of(row.spec) for row in rows],
            "automation": [row.automation for row in rows],
            "automation_type": [row.automation_type.value for row in rows],
            "active": [row.active for row in rows],
            "input_uri": [row.input_uri for row in rows],
            "description": [row.description for row in rows],
            "origin": [row.origin.value for row in rows],
            "deployed_by": [row.deployed_by for row in rows],
            "updated_by": [row.updated_by for row in rows],
            "deployed_at_": [row.deployed_at for row in rows],
            "updated_at_": [row.updated_at for row in rows],
            "deleted_at_": [row.deleted_at for row in rows],
            **_schedules([row.schedule for row in rows]),
            "overlap": [row.overlap.value for row in rows],
            **_matches([row.artifact for row in rows]),
            **progress_arrays(rows),
            "kept": MOST_REVISIONS,
        },
    )
    await notify_triggers(tx)


async def find_trigger(tx: OrgTx, key: TriggerKey) -> TriggerRow | None:
    """Find a trigger that is not deleted."""
    rows = [parse_trigger(row) for row in await tx.rows(_FIND, key_arrays([key]))]
    return rows[0] if rows and rows[0].deleted_at is None else None


async def has_trigger(tx: OrgTx, key: TriggerKey) -> bool:
    """Return whether there is a trigger, which may be deleted."""
    return bool(await tx.rows(_FIND, key_arrays([key])))


async def find_revision(tx: OrgTx, key: TriggerKey, revision: int) -> TriggerRow | None:
    rows = await tx.rows(_FIND_REVISION, {**key_values(key), "revision": revision})
    return parse_trigger(rows[0]) if rows else None


async def list_triggers(tx: OrgTx, scope: TriggerScope, listing: Listing) -> TriggerPage:
    """List triggers that are not deleted: active first, then the last updated, by default."""
    columns = triggers.c
    query = select(triggers, specs.c.body.label("spec_body")).join(
        specs, (specs.c.org == columns.org) & (specs.c.digest == columns.spec)
    )
    query = query.where(
        columns.org == tx.org,
        columns.deleted_at.is_(None),
        within(scope.within, columns.project, columns.domain),
    )
    for column, required in (
        (columns.project, scope.project),
        (columns.domain, scope.domain),
        (columns.task_name, scope.task_name),
        (columns.task_version, scope.task_version),
    ):
        if required:
            query = query.where(column == required)
    fields = among({
        "project": text_field(columns.project),
        "domain": text_field(columns.domain),
        "task_name": text_field(columns.task_name),
        "name": text_field(columns.name),
        "active": booleans(columns.active),
        "deployed_at": timestamp_field(columns.deployed_at),
        "updated_at": timestamp_field(columns.updated_at),
        "task_version": text_field(columns.task_version),
        "automation_type": numbers(columns.automation_type),
    })  # fmt: skip
    usual = (
        Key(booleans(columns.active), ascending=False),
        Key(timestamp_field(columns.updated_at), ascending=False),
        Key(text_field(columns.project)),
        Key(text_field(columns.domain)),
        Key(text_field(columns.task_name)),
        Key(text_field(columns.name)),
    )
    rows, token = await page(tx, query, fields, listing, usual)
    return TriggerPage([parse_trigger(row) for row in rows], token)


async def list_revisions(tx: OrgTx, key: TriggerKey, listing: Listing) -> TriggerPage:
    """List the revisions of a trigger, which may be deleted; the newest first by default."""
    columns = trigger_revisions.c
    query = select(trigger_revisions, specs.c.body.label("spec_body")).join(
        specs, (specs.c.org == columns.org) & (specs.c.digest == columns.spec)
    )
    query = query.where(
        columns.org == tx.org,
        columns.project == key.project,
        columns.domain == key.domain,
        columns.task_name == key.task_name,
        columns.name == key.name,
    )
    fields = among({
        "revision": numbers(columns.revision),
        "deployed_at": timestamp_field(columns.deployed_at),
        "updated_at": timestamp_field(columns.updated_at),
        "action": numbers(columns.action),
    })  # fmt: skip
    newest = (Key(numbers(columns.revision), ascending=False),)
    rows, token = await page(tx, query, fields, listing, newest)
    return TriggerPage([parse_trigger(row) for row in rows], token)


def progress_arrays(rows: Sequence[TriggerRow]) -> dict[str, object]:
    """Return what the scheduler changes as the arrays of ``PROGRESS``."""
    return {
        "triggered_at_": [row.triggered_at for row in rows],
        "fire_at_": [row.fire_at for row in rows],
        "wake_at_": [row.wake_at for row in rows],
        "late": [row.late for row in rows],
        "skipped": [row.skipped for row in rows],
        "error": [row.error for row in rows],
        "error_at_": [row.error_at for row in rows],
        "firings": [row.firings for row in rows],
    }


def parse_trigger(row: Row[Any]) -> TriggerRow:
    """Parse a row of ``triggers``, or of ``trigger_revisions``, which has no schedule."""
    is_current = hasattr(row, "wake_at")
    return TriggerRow(
        key=TriggerKey(ProjectName(row.project), DomainName(row.domain), row.task_name, row.name),
        revision=row.revision,
        action=parse_enum(row.action, RevisionAction.UNKNOWN),
        task_version=row.task_version,
        spec=row.spec_body,
        automation=row.automation,
        automation_type=parse_enum(row.automation_type, AutomationType.UNKNOWN),
        active=row.active,
        input_uri=row.input_uri,
        description=row.description,
        origin=parse_enum(row.origin, Origin.API),
        deployed_by=row.deployed_by,
        updated_by=row.updated_by,
        deployed_at=row.deployed_at,
        updated_at=row.updated_at,
        triggered_at=row.triggered_at,
        deleted_at=row.deleted_at,
        schedule=_parse_schedule(row) if is_current else None,
        fire_at=row.fire_at if is_current else None,
        wake_at=row.wake_at if is_current else None,
        late=row.late if is_current else 0,
        skipped=row.skipped if is_current else 0,
        error=row.error if is_current else "",
        error_at=row.error_at if is_current else None,
        overlap=parse_enum(row.overlap, Overlap.ALLOW) if is_current else Overlap.ALLOW,
        firings=row.firings if is_current else 0,
        artifact=_parse_match(row) if is_current else None,
    )


def _parse_schedule(row: Row[Any]) -> Schedule | None:
    if row.cron:
        return CronSchedule(row.cron, row.zone)
    if row.every is not None:
        return RateSchedule(row.every, row.anchor_at, row.from_anchor)
    return None


def _parse_match(row: Row[Any]) -> ArtifactMatch | None:
    if not row.artifact:
        return None
    return ArtifactMatch(
        name=row.artifact, version=row.artifact_version, partitions=row.artifact_partitions
    )


def _matches(matches: Sequence[ArtifactMatch | None]) -> dict[str, object]:
    return {
        "artifact": [each.name if each else "" for each in matches],
        "artifact_version": [each.version if each else "" for each in matches],
        "artifact_partitions": [
            json.dumps(dict(each.partitions) if each else {}) for each in matches
        ],
    }


def _schedules(schedules: Sequence[Schedule | None]) -> dict[str, object]:
    crons = [each if isinstance(each, CronSchedule) else None for each in schedules]
    rates = [each if isinstance(each, RateSchedule) else None for each in schedules]
    return {
        "cron": [each.expression if each else "" for each in crons],
        "zone": [each.zone if each else "" for each in crons],
        "every": [each.interval if each else None for each in rates],
        "anchor_at_": [each.anchor if each else None for each in rates],
        "from_anchor": [each.from_anchor if each else False for each in rates],
    }
