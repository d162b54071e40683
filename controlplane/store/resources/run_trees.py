"""
Reads windows of a run's tree: counts of open nodes, and the rows of their windows.

A statement takes all open nodes as a set. What it reads is the children of these nodes, and never
more than the run; what it returns is bounded by the windows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Row, TextClause

from controlplane.core.actions import ActionType
from controlplane.core.caching import CacheStatus
from controlplane.core.run_trees import (
    LATEST_ATTEMPTS,
    MAX_FOLDS,
    Fold,
    FoldCounts,
    PhaseCounts,
    Tree,
    TreeAttempt,
    TreeNode,
    TreeRow,
    TreeSort,
    TreeView,
    TreeWindow,
    first_line,
)
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_enum, parse_failure
from controlplane.store.statements import given, statement
from shared.model.ids import ROOT, ActionId, ActionName, RunId
from shared.model.phases import Phase

_MOST_LEVELS = 100
"""Ancestors of a row that are read; the SDK's own limit of nesting is lower."""

_COLUMNS = r"""
a.id, a.name, a.parent, a.parent_id, a.group_name, a.task_name, a.short_name, a.type, a.phase,
a.created_at, a.started_at, a.ended_at, a.attempts, a.cache_status, a.error_code, a.error_kind,
left(a.error_message, 2000) || CASE WHEN length(a.error_message) > 2000
    THEN E'\n' || right(a.error_message, 500) ELSE '' END AS error_message, a.error_recoverable, a.error_uri
"""

_FILTERS = r"""
    AND (CAST(:phases AS smallint[]) IS NULL OR a.phase = ANY(CAST(:phases AS smallint[])))
    AND (CAST(:codes AS text[]) IS NULL OR a.error_code = ANY(CAST(:codes AS text[])))
    AND (CAST(:pattern AS text) IS NULL OR a.name ILIKE :pattern OR a.task_name ILIKE :pattern
         OR a.short_name ILIKE :pattern)
"""
# A range has the same rows as an equality, and another estimate: where most actions have one
# parent, Postgres expects that many children of each, and would read the table for each.
_OF_PARENT = """
    a.org = n.org AND a.parent_id >= n.parent_id AND a.parent_id <= n.parent_id
    AND (NOT n.folded OR (a.group_name = n.group_name AND a.task_name = n.task_name))
"""
_OF_RUN = "a.org = n.org AND a.run_id = n.run_id"
_NODES = given(
    position="integer",
    run_id="uuid",
    parent_id="uuid",
    folded="boolean",
    group_name="text",
    task_name="text",
    skip="integer",
    most="integer",
)

_BAD = f"{Phase.FAILED.value}, {Phase.TIMED_OUT.value}"
_TOOK = "COALESCE(a.ended_at, :now) - a.created_at"
_KEYS: Mapping[TreeSort, Sequence[tuple[str, bool]]] = {
    # Columns with whether they ascend; the name breaks ties.
    TreeSort.ATTENTION: ((f"a.phase IN ({_BAD})", False), (_TOOK, False)),
    TreeSort.DURATION: ((_TOOK, False),),
    TreeSort.NAME: (),
    TreeSort.START: (("a.created_at", True),),
    TreeSort.WAIT: (("COALESCE(a.started_at, a.ended_at, :now) - a.created_at", False),),
}


def _rows_of(sort: TreeSort, which: str, *, backwards: bool) -> TextClause:
    keys = [*_KEYS[sort], ("a.name", True)]
    columns = ", ".join(f"{key} AS key{number}" for number, (key, _) in enumerate(keys))
    order = ", ".join(
        f"key{number} {'ASC' if ascends is not backwards else 'DESC'}"
        for number, (_, ascends) in enumerate(keys)
    )
    return statement(f"""
{_NODES}
SELECT n.position, c.* FROM n CROSS JOIN LATERAL (
    SELECT {_COLUMNS}, {columns} FROM actions a WHERE {which} {_FILTERS}
    ORDER BY {order} LIMIT n.most OFFSET n.skip
) c
ORDER BY n.position, {order}
""")


_ROWS = {
    (sort, which, backwards): _rows_of(sort, which, backwards=backwards)
    for sort in TreeSort
    for which in (_OF_PARENT, _OF_RUN)
    for backwards in (False, True)
}


def _folds_of(which: str) -> TextClause:
    counts = ", ".join(
        f"count(*) FILTER (WHERE a.phase = {phase.value}) AS phase{phase.value}" for phase in Phase
    )
    took = "(a.ended_at - a.started_at)"
    return statement(f"""
{_NODES}
SELECT n.position, c.* FROM n CROSS JOIN LATERAL (
    SELECT a.group_name, a.task_name, count(*) AS size, {counts}, min{took} AS shortest,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY {took}) AS median, max{took} AS longest,
           sum(count(*)) OVER () AS total, count(*) OVER () AS folds
    FROM actions a WHERE {which} {_FILTERS}
    GROUP BY a.group_name, a.task_name
    ORDER BY size DESC, a.group_name, a.task_name LIMIT {MAX_FOLDS}
) c
ORDER BY n.position, c.size DESC, c.group_name, c.task_name
""")


_FOLDS = {which: _folds_of(which) for which in (_OF_PARENT, _OF_RUN)}

_RUN = statement("SELECT change FROM runs WHERE org = :org AND run_id = :run_id")

_PHASES = statement("""
SELECT a.phase, count(*) AS size FROM actions a
WHERE a.org = :org AND a.run_id = :run_id GROUP BY a.phase
""")

_BY_NAME = statement(f"""
{given(name="text")}
SELECT {_COLUMNS} FROM n CROSS JOIN LATERAL (
    SELECT * FROM actions a
    WHERE a.org = n.org AND a.run_id = :run_id AND a.name >= n.name AND a.name <= n.name
    ORDER BY a.name LIMIT 1
) a
""")

_CHILDREN = statement(f"""
{given(id="uuid")}
SELECT n.id, c.phase, c.size FROM n CROSS JOIN LATERAL (
    SELECT a.phase, count(*) AS size FROM actions a
    WHERE a.org = n.org AND a.parent_id >= n.id AND a.parent_id <= n.id GROUP BY a.phase
) c
""")

_ATTEMPTS = statement(f"""
{given(id="uuid")}
SELECT t.* FROM n CROSS JOIN LATERAL (
    SELECT t.action_id, t.number, t.cluster, t.phase, t.available_at, t.leased_at, t.started_at,
           t.ended_at, t.error_code
    FROM attempts t WHERE t.org = n.org AND t.action_id = n.id
    ORDER BY t.org, t.action_id, t.number DESC LIMIT {LATEST_ATTEMPTS}
) t
ORDER BY t.action_id, t.number
""")


async def count_phases(tx: OrgTx, run: RunId) -> PhaseCounts:
    """Count all actions of a run by phase."""
    rows = await tx.rows(_PHASES, {"run_id": run})
    return _phases((row.phase, row.size) for row in rows)


async def read_tree(
    tx: OrgTx, run: RunId, view: TreeView, phases: PhaseCounts, now: datetime
) -> Tree | None:
    """
    Read the windows of a view, without reasons; None if the run does not exist.

    A node whose parent does not exist has an empty window. ``phases`` is ``count_phases``.
    """
    found = (await tx.execute(_RUN, {"run_id": run})).one_or_none()
    if found is None:
        return None
    names = {ROOT, *(node.parent for node in view.nodes if node.parent is not None)}
    known = {
        row.name: row for row in await tx.rows(_BY_NAME, {"run_id": run, "name": sorted(names)})
    }
    parents = {name: ActionId(row.id) for name, row in known.items()}
    # A node of all actions reads by another index, so it has a statement of its own.
    whole = [n for n, node in enumerate(view.nodes) if node.parent is None]
    others = [n for n, node in enumerate(view.nodes) if node.parent in parents]
    folds: dict[int, list[Row[tuple[object, ...]]]] = defaultdict(list)
    rows: dict[int, list[Row[tuple[object, ...]]]] = defaultdict(list)
    for which, positions in ((_OF_RUN, whole), (_OF_PARENT, others)):
        if not positions:
            continue
        values = {**_node_arrays(view, positions, parents, run), **_filter_values(view)}
        for row in await tx.rows(_FOLDS[which], values):
            folds[row.position].append(row)
        ordered = _ROWS[view.sort, which, view.reversed]
        for row in await tx.rows(ordered, {**values, "now": now}):
            rows[row.position].append(row)
    above = await _list_ancestors(tx, run, [row for n in whole for row in rows[n]], known)
    shown = {row.id: row for of in (*rows.values(), above, known.values()) for row in of}
    counted = _count_children(view, parents, folds)
    details = await _find_details(tx, sorted(shown), counted)
    made = {key: _parse_row(row, details) for key, row in shown.items()}
    windows = [
        _window(n, folds[n], [made[row.id] for row in rows[n]]) for n in range(len(view.nodes))
    ]
    root = known.get(ROOT)
    return Tree(
        change=found.change,
        as_of=now,
        phases=phases,
        root=None if root is None else made[root.id],
        windows=windows,
        ancestors=[made[row.id] for row in above],
    )


def _node_arrays(
    view: TreeView, positions: Sequence[int], parents: Mapping[str, ActionId], run: RunId
) -> dict[str, object]:
    nodes: list[TreeNode] = [view.nodes[position] for position in positions]
    return {
        "position": list(positions),
        "run_id": [run for _ in nodes],
        "parent_id": [parents.get(node.parent or "") for node in nodes],
        "folded": [node.fold is not None for node in nodes],
        "group_name": [node.fold.group if node.fold else "" for node in nodes],
        "task_name": [node.fold.task if node.fold else "" for node in nodes],
        "skip": [node.offset for node in nodes],
        "most": [node.limit for node in nodes],
    }


def _filter_values(view: TreeView) -> dict[str, object]:
    escaped = view.text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return {
        "phases": sorted(phase.value for phase in view.phases) or None,
        "codes": sorted(view.error_codes) or None,
        "pattern": f"%{escaped}%" if view.text else None,
    }


async def _list_ancestors(
    tx: OrgTx,
    run: RunId,
    rows: Sequence[Row[tuple[object, ...]]],
    known: Mapping[str, Row[tuple[object, ...]]],
) -> Sequence[Row[tuple[object, ...]]]:
    """List the ancestors of rows, a level in each statement."""
    names = {row.name for row in rows}
    found: dict[str, Row[tuple[object, ...]]] = {}
    wanted = {row.parent for row in rows if row.parent is not None}
    for _ in range(_MOST_LEVELS):
        read = {name: known[name] for name in wanted if name in known}
        if missing := sorted(wanted - set(read)):
            level = await tx.rows(_BY_NAME, {"run_id": run, "name": missing})
            read |= {row.name: row for row in level}
        found |= read
        wanted = {row.parent for row in read.values() if row.parent is not None} - set(found)
        if not wanted:
            break
    return [row for name, row in sorted(found.items()) if name not in names]


_Details = Mapping[ActionId, tuple[tuple[TreeAttempt, ...], PhaseCounts]]


def _count_children(
    view: TreeView,
    parents: Mapping[str, ActionId],
    folds: Mapping[int, Sequence[Row[tuple[object, ...]]]],
) -> Mapping[ActionId, PhaseCounts]:
    """Add up the folds of nodes that show all children, so that these are not counted twice."""
    if view.phases or view.text or view.error_codes:
        return {}
    counted: dict[ActionId, PhaseCounts] = {}
    for position, node in enumerate(view.nodes):
        of = folds[position]
        whole = node.fold is None and node.parent in parents and bool(of)
        if whole and of[0].folds == len(of) and node.parent is not None:
            counted[parents[node.parent]] = _phases(
                (phase.value, getattr(row, f"phase{phase.value}")) for row in of for phase in Phase
            )
    return counted


async def _find_details(
    tx: OrgTx, ids: Sequence[ActionId], counted: Mapping[ActionId, PhaseCounts]
) -> _Details:
    await tx.plan_for(len(ids))
    attempts: dict[ActionId, list[TreeAttempt]] = defaultdict(list)
    for row in await tx.rows(_ATTEMPTS, {"id": ids}):
        attempts[ActionId(row.action_id)].append(_parse_attempt(row))
    children: dict[ActionId, dict[Phase, int]] = defaultdict(dict)
    for row in await tx.rows(_CHILDREN, {"id": [key for key in ids if key not in counted]}):
        children[ActionId(row.id)][parse_enum(row.phase, Phase.UNKNOWN)] = row.size
    return {key: (tuple(attempts[key]), counted.get(key, children[key])) for key in ids}


def _window(
    position: int, folds: Sequence[Row[tuple[object, ...]]], rows: Sequence[TreeRow]
) -> TreeWindow:
    return TreeWindow(
        node=position,
        total=int(folds[0].total) if folds else 0,
        folds=[_parse_fold(row) for row in folds],
        folds_left_out=folds[0].folds - len(folds) if folds else 0,
        names=[row.name for row in rows],
        rows=rows,
    )


def _parse_fold(row: Row[tuple[object, ...]]) -> FoldCounts:
    return FoldCounts(
        fold=Fold(row.group_name, row.task_name),
        phases=_phases((phase.value, getattr(row, f"phase{phase.value}")) for phase in Phase),
        shortest=row.shortest,
        median=row.median,
        longest=row.longest,
    )


def _parse_row(row: Row[tuple[object, ...]], details: _Details) -> TreeRow:
    latest, children = details[ActionId(row.id)]
    failure = parse_failure(row)
    return TreeRow(
        id=ActionId(row.id),
        name=ActionName(row.name),
        parent=None if row.parent is None else ActionName(row.parent),
        fold=Fold(row.group_name, row.task_name),
        title=row.short_name,
        type=parse_enum(row.type, ActionType.UNKNOWN),
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        enqueued_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        attempts=row.attempts,
        cache_status=parse_enum(row.cache_status, CacheStatus.DISABLED),
        failure=None if failure is None else replace(failure, message=first_line(failure.message)),
        latest=latest,
        children=children,
    )


def _parse_attempt(row: Row[tuple[object, ...]]) -> TreeAttempt:
    return TreeAttempt(
        number=row.number,
        cluster=row.cluster,
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        available_at=row.available_at,
        leased_at=row.leased_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        error_code=row.error_code or "",
    )


def _phases(counts: Iterable[tuple[int, int]]) -> PhaseCounts:
    found: dict[Phase, int] = {}
    for value, count in counts:
        if count:
            phase = parse_enum(value, Phase.UNKNOWN)
            found[phase] = found.get(phase, 0) + count
    return found
