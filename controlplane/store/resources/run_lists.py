"""Reads what rows of a list of runs show of their actions, and counts runs over time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Integer, cast, func, literal, select

from controlplane.core.actions import ActionRow
from controlplane.core.lists import Filter
from controlplane.core.run_lists import (
    MOST_COUNTED,
    MOST_SUMMARIZED,
    PhaseCounts,
    RunRow,
    RunSummary,
)
from controlplane.core.run_states import NO_MARKS, RunMarks
from controlplane.core.run_trees import first_line
from controlplane.core.runs import RunScope
from controlplane.store.database import OrgTx
from controlplane.store.resources.filters import restrict
from controlplane.store.resources.lists import JOINED, find_field, in_scope
from controlplane.store.resources.run_states import find_marks
from controlplane.store.rows import parse_enum, parse_failure
from controlplane.store.statements import given, statement
from controlplane.store.tables import actions, runs
from shared.model.ids import ActionName, RunId
from shared.model.phases import Phase
from shared.model.reports import Failure

_PHASES = statement(f"""
{given(run_id="uuid")}
SELECT n.run_id, p.phase, count(*) AS size FROM n CROSS JOIN LATERAL (
    SELECT a.phase FROM actions a WHERE a.org = n.org AND a.run_id = n.run_id
    ORDER BY a.org, a.run_id, a.name LIMIT {MOST_COUNTED + 1}
) p
GROUP BY n.run_id, p.phase
""")

_FIRST_ERRORS = statement(f"""
{given(run_id="uuid")}
SELECT n.run_id, f.* FROM n CROSS JOIN LATERAL (
    SELECT a.name, a.error_code, a.error_kind, left(a.error_message, 2000) AS error_message,
           a.error_recoverable, a.error_uri
    FROM actions a
    WHERE a.org = n.org AND a.run_id = n.run_id AND a.error_code IS NOT NULL
    ORDER BY a.org, a.run_id, a.ended_at LIMIT 1
) f
""")


async def add_actions(tx: OrgTx, roots: Sequence[ActionRow]) -> Sequence[RunRow]:
    """Return a row for each of these roots, with the phases of its actions and its first error."""
    ids = {"run_id": [root.run_id for root in roots]}
    await tx.plan_for(len(roots))
    phases: dict[RunId, dict[Phase, int]] = defaultdict(dict)
    for row in await tx.rows(_PHASES, ids):
        phases[RunId(row.run_id)][parse_enum(row.phase, Phase.UNKNOWN)] = row.size
    errors: dict[RunId, tuple[ActionName, Failure]] = {}
    for row in await tx.rows(_FIRST_ERRORS, ids):
        failure = parse_failure(row)
        if failure is not None:
            shown = replace(failure, message=first_line(failure.message))
            errors[RunId(row.run_id)] = ActionName(row.name), shown
    marks = await find_marks(tx, ids["run_id"])
    return [
        _row(
            root,
            phases[root.run_id],
            errors.get(root.run_id),
            marks.get(root.run_id, NO_MARKS),
        )
        for root in roots
    ]


def _row(
    root: ActionRow,
    phases: PhaseCounts,
    error: tuple[ActionName, Failure] | None,
    marks: RunMarks,
) -> RunRow:
    return RunRow(
        marks=marks,
        root=root,
        phases=phases,
        partial=sum(phases.values()) > MOST_COUNTED,
        failed=error[0] if error else None,
        failure=error[1] if error else None,
    )


async def summarize_runs(
    tx: OrgTx,
    scope: RunScope,
    filters: Sequence[Filter],
    *,
    since: datetime,
    until: datetime,
    buckets: int,
) -> RunSummary:
    """Count the runs of a scope that were created in a period; ``filters`` are of ``find_field``."""
    found = in_scope(tx, select(runs.c.created_at, actions.c.phase).select_from(JOINED), scope)
    newest = (
        restrict(found, find_field, filters)
        .where(runs.c.created_at >= since, runs.c.created_at < until)
        .order_by(runs.c.created_at.desc())
        .limit(MOST_SUMMARIZED)
        .subquery()
    )
    seconds = func.extract("epoch", newest.c.created_at - literal(since))
    bucket = cast(func.floor(seconds / _length(since, until, buckets).total_seconds()), Integer)
    counted = select(
        bucket.label("bucket"),
        newest.c.phase,
        func.count().label("size"),
        func.min(newest.c.created_at).label("oldest"),
    ).group_by(bucket, newest.c.phase)
    rows = (await tx.connection.execute(counted)).all()
    made: Sequence[dict[Phase, int]] = [{} for _ in range(buckets)]
    for row in rows:
        of = made[min(row.bucket, buckets - 1)]  # a rounded length may be a microsecond short
        phase = parse_enum(row.phase, Phase.UNKNOWN)
        of[phase] = of.get(phase, 0) + row.size
    is_cut = sum(row.size for row in rows) == MOST_SUMMARIZED
    return RunSummary(
        since=since,
        until=until,
        buckets=made,
        counted_since=min(row.oldest for row in rows) if is_cut else None,
    )


def _length(since: datetime, until: datetime, buckets: int) -> timedelta:
    return max((until - since) / buckets, timedelta(microseconds=1))
