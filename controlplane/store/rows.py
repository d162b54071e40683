"""Parses rows of actions into model values, and lists the columns that this needs."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeVar
from uuid import UUID

from controlplane.core.actions import ActionRow, ActionType, RunSource, RunTrigger, TaskInfo
from controlplane.core.caching import CacheSource, CacheStatus
from controlplane.core.layout import output_prefix
from controlplane.core.relations import Relation, RelationType
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunId,
    RunKey,
    RunName,
)
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind, LogLink

E = TypeVar("E", bound=Enum)

ACTION_COLUMNS = """
    a.org, a.id, a.run_id, r.project, r.domain, r.run, a.name, a.parent, a.type, a.group_name,
    a.task_name, a.task_version, a.task_type, a.short_name, a.environment, a.function,
    a.phase, a.attempts, a.change, a.created_at, a.updated_at, a.started_at, a.ended_at,
    a.output_uri, a.report_uri, a.error_code, a.error_kind, a.error_message,
    a.error_recoverable, a.error_uri, a.abort_reason, a.aborted_by, a.condition_type, a.value,
    a.signalled_by, a.cache_status, a.cached_from, a.recovered_from,
    r.created_by, r.source, r.labels, r.run_base, r.relation, r.related_to,
    r.trigger_task, r.trigger_name, r.trigger_revision, r.trigger_automation
"""


class FailureColumns(Protocol):
    """The columns of ``tables._failure``."""

    error_code: str | None
    error_kind: int | None
    error_message: str | None
    error_recoverable: bool | None
    error_uri: str | None


class LogColumns(Protocol):
    """The columns of ``attempts`` for an attempt's logs in external stores."""

    log_links: Sequence[tuple[str, str]]


class KeyColumns(Protocol):
    """The columns of ``runs`` and ``actions`` that name an action."""

    project: str
    domain: str
    run: str
    name: str


class ActionColumns(KeyColumns, FailureColumns, Protocol):
    """The columns of ``ACTION_COLUMNS``."""

    org: str
    id: UUID
    run_id: UUID
    parent: str | None
    type: int
    group_name: str
    task_name: str
    task_version: str
    task_type: str
    short_name: str
    environment: str
    function: str
    phase: int
    attempts: int
    change: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    output_uri: str
    report_uri: str
    abort_reason: str
    aborted_by: str
    condition_type: bytes | None
    value: bytes | None
    signalled_by: str
    cache_status: int
    cached_from: Sequence[str] | None
    created_by: str
    source: int
    labels: Mapping[str, str]
    run_base: str
    recovered_from: str
    relation: int
    related_to: str | None
    trigger_task: str
    trigger_name: str
    trigger_revision: int
    trigger_automation: bytes | None


def parse_enum(value: object, unknown: E) -> E:
    """
    Return the member with this value, or ``unknown`` when there is none.

    While a release is rolled out or back, rows may hold values of a later release: they must
    not fail a statement that reads thousands of other rows as well.
    """
    try:
        return type(unknown)(value)
    except ValueError:
        return unknown


def parse_key(row: KeyColumns) -> ActionKey:
    run = RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run))
    return ActionKey(run, ActionName(row.name))


def parse_log_links(row: LogColumns) -> Sequence[LogLink]:
    return [LogLink(name, uri) for name, uri in row.log_links]


def parse_failure(row: FailureColumns) -> Failure | None:
    if row.error_code is None:
        return None
    return Failure(
        code=row.error_code,
        kind=parse_enum(row.error_kind or FailureKind.SYSTEM.value, FailureKind.UNKNOWN),
        message=row.error_message or "",
        recoverable=bool(row.error_recoverable),
        full_uri=row.error_uri or "",
    )


def _parse_relation(row: ActionColumns) -> Relation | None:
    if row.parent is not None or row.related_to is None:
        return None
    return Relation(parse_enum(row.relation, RelationType.NONE), RunName(row.related_to))


def parse_action(row: ActionColumns) -> ActionRow:
    key = parse_key(row)
    return ActionRow(
        org=OrgName(row.org),
        id=ActionId(row.id),
        run_id=RunId(row.run_id),
        key=key,
        parent=None if row.parent is None else ActionName(row.parent),
        type=parse_enum(row.type, ActionType.UNKNOWN),
        info=TaskInfo(
            org=row.org,
            project=row.project,
            domain=row.domain,
            name=row.task_name,
            version=row.task_version,
            task_type=row.task_type,
            short_name=row.short_name,
            environment=row.environment,
            function=row.function,
        ),
        group=row.group_name,
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        attempts=row.attempts,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        updated_at=row.updated_at,
        created_by=row.created_by,
        output_prefix=output_prefix(row.run_base, key.name, row.attempts)
        if row.type == ActionType.TASK
        else "",
        output_uri=row.output_uri,
        report_uri=row.report_uri,
        failure=parse_failure(row),
        abort_reason=row.abort_reason,
        aborted_by=row.aborted_by,
        condition_type=row.condition_type or b"",
        value=row.value or b"",
        signalled_by=row.signalled_by,
        source=parse_enum(row.source, RunSource.UNSPECIFIED),
        labels=row.labels,
        relation=_parse_relation(row),
        recovered_from=RunName(row.recovered_from) if row.recovered_from else None,
        change=row.change,
        cache_status=parse_enum(row.cache_status, CacheStatus.DISABLED),
        cached_from=parse_source(row.cached_from),
        trigger=_parse_trigger(row),
    )


def _parse_trigger(row: ActionColumns) -> RunTrigger | None:
    if not row.trigger_name:
        return None
    return RunTrigger(
        task_name=row.trigger_task,
        name=row.trigger_name,
        revision=row.trigger_revision,
        automation=row.trigger_automation or b"",
    )


def parse_source(stored: Sequence[str] | None) -> CacheSource | None:
    """Parse ``actions.cached_from``; None: the action has outputs of its own, or none."""
    if stored is None:
        return None
    project, domain, run, action, attempt = stored
    key = RunKey(ProjectName(project), DomainName(domain), RunName(run))
    return CacheSource(action=ActionKey(key, ActionName(action)), attempt=int(attempt))


def run_of_source(source: str) -> str:
    """Return SQL for ``actions.cached_run``; NULL without a source, or if a client put the entry."""
    project, domain, run = (f"({source} ->> {number})" for number in range(3))
    return f"CASE WHEN {run} <> '' THEN {project} || '/' || {domain} || '/' || {run} END"


def render_source(source: CacheSource) -> str:
    """Render a source as the JSON of ``actions.cached_from``."""
    run = source.action.run
    return json.dumps([run.project, run.domain, run.name, source.action.name, str(source.attempt)])
