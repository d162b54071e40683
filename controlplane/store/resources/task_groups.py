"""Groups a project's runs by their task, in one statement that returns a row for each task."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, Text, and_, distinct, func, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from controlplane.core.lists import Filter
from controlplane.core.task_groups import (
    MOST_CREATORS,
    MOST_GROUPS,
    MOST_RECENT,
    GroupScope,
    TaskGroup,
)
from controlplane.store.database import OrgTx
from controlplane.store.resources.filters import restrict
from controlplane.store.resources.lists import IS_NOT_TRACKED, find_field
from controlplane.store.rows import parse_enum
from controlplane.store.tables import actions, runs
from shared.model.ids import RunName
from shared.model.phases import Phase
from shared.model.reports import FailureKind


async def list_groups(
    tx: OrgTx,
    scope: GroupScope,
    filters: Sequence[Filter] = (),
    *,
    tasks: Collection[str] | None = None,
    ascending: bool = False,
    most: int = MOST_GROUPS,
) -> Sequence[TaskGroup]:
    """
    Return the groups of the runs in a scope that pass the filters, by their latest run.

    ``tasks``: only the groups of these tasks. Reads the runs of the window by index, and the
    root action of each.
    """
    rows = await tx.connection.execute(
        _group(_roots(tx, scope, filters, tasks), ascending=ascending, most=most)
    )
    return [_parse(row) for row in rows]


def _roots(
    tx: OrgTx, scope: GroupScope, filters: Sequence[Filter], tasks: Collection[str] | None
) -> Select[Any]:
    """Select the runs, each with its place among those of its task: 1 is the latest."""
    latest_first = func.row_number().over(
        partition_by=actions.c.task_name,
        order_by=(runs.c.created_at.desc(), runs.c.run_id.desc()),
    )
    query = (
        select(
            actions.c.task_name,
            actions.c.environment,
            actions.c.short_name,
            actions.c.phase,
            actions.c.error_kind,
            actions.c.started_at,
            actions.c.ended_at,
            runs.c.run,
            runs.c.created_at,
            runs.c.created_by,
            latest_first.label("place"),
        )
        .select_from(
            runs.join(actions, and_(actions.c.org == runs.c.org, actions.c.id == runs.c.run_id))
        )
        .where(
            runs.c.org == tx.org,
            runs.c.project == scope.project,
            runs.c.domain == scope.domain,
            runs.c.created_at >= scope.start,
            IS_NOT_TRACKED,
        )
    )
    if scope.end is not None:
        query = query.where(runs.c.created_at < scope.end)
    if tasks is not None:
        query = query.where(actions.c.task_name.in_(sorted(tasks)))
    return restrict(query, find_field, filters)


def _group(roots: Select[Any], *, ascending: bool, most: int) -> Select[Any]:
    root = roots.subquery("root").c
    is_latest, is_recent = root.place == 1, root.place <= MOST_RECENT
    latest_at = func.max(root.created_at)
    return (
        select(
            root.task_name,
            func.max(root.environment).filter(is_latest).label("environment"),
            func.max(root.short_name).filter(is_latest).label("short_name"),
            func.count().label("total"),
            latest_at.label("latest_at"),
            func.array_agg(aggregate_order_by(root.run, root.place))
            .filter(is_recent)
            .label("recent_runs"),
            func.array_agg(aggregate_order_by(root.phase, root.place))
            .filter(is_recent)
            .label("recent_phases"),
            func.avg(root.ended_at - root.created_at).label("duration"),
            func.avg(root.started_at - root.created_at).label("time_to_running"),
            func.max(root.ended_at).label("latest_ended_at"),
            func.array_agg(distinct(root.created_by), type_=ARRAY(Text))[1:MOST_CREATORS].label(
                "creators"
            ),
            *(
                func.count().filter(root.phase == phase.value).label(f"phase_{phase.name}")
                for phase in Phase
            ),
            *(
                func.count()
                .filter(root.phase == Phase.FAILED.value, root.error_kind == kind.value)
                .label(f"error_{kind.name}")
                for kind in FailureKind
            ),
        )
        .group_by(root.task_name)
        .order_by(latest_at.asc() if ascending else latest_at.desc(), root.task_name)
        .limit(most)
    )


def _parse(row: Any) -> TaskGroup:
    phases = {phase: getattr(row, f"phase_{phase.name}") for phase in Phase}
    errors = {kind: getattr(row, f"error_{kind.name}") for kind in FailureKind}
    return TaskGroup(
        task_name=row.task_name,
        environment=row.environment,
        short_name=row.short_name,
        total=row.total,
        latest_at=row.latest_at,
        recent=[
            (RunName(run), parse_enum(phase, Phase.UNKNOWN))
            for run, phase in zip(row.recent_runs, row.recent_phases, strict=True)
        ],
        phases={phase: count for phase, count in phases.items() if count},
        errors={kind: count for kind, count in errors.items() if count},
        average_duration=_not_negative(row.duration),
        average_time_to_running=_not_negative(row.time_to_running),
        latest_ended_at=row.latest_ended_at,
        creators=[creator for creator in row.creators if creator],
    )


def _not_negative(average: timedelta | None) -> timedelta | None:
    """Return an average of 0 for one below: an agent's clock may be behind."""
    return None if average is None else max(average, timedelta(0))
