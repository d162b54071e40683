"""RunTreeService: windows of a run's tree, once or as they change."""

from collections.abc import AsyncIterator, Iterable

from controlplane.api.platform.conventions import (
    parse_phases,
    parse_run_key,
    render_duration,
    render_time,
)
from controlplane.api.streams import closing
from controlplane.core import names
from controlplane.core.caching import CacheStatus
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError
from controlplane.core.run_trees import (
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
)
from controlplane.usecases.run_trees import RunTrees
from shared.idl.platform.v1 import run_tree_pb2 as pb


class RunTreeService:
    def __init__(self, trees: RunTrees) -> None:
        self._trees = trees

    async def get_tree(self, caller: Caller, request: pb.GetTreeRequest) -> pb.GetTreeResponse:
        tree = await self._trees.get(caller, parse_run_key(request), _parse_view(request.view))
        return pb.GetTreeResponse(tree=_render(tree))

    async def watch_tree(
        self, caller: Caller, request: pb.WatchTreeRequest
    ) -> AsyncIterator[pb.WatchTreeResponse]:
        run, view = parse_run_key(request), _parse_view(request.view)
        async with closing(self._trees.watch(caller, run, view)) as trees:
            async for tree in trees:
                yield pb.WatchTreeResponse(tree=_render(tree))


def _parse_view(message: pb.TreeView) -> TreeView:
    try:
        sort = TreeSort(message.sort or TreeSort.ATTENTION)
    except ValueError as error:
        raise InvalidError(
            f"view.sort: {message.sort[:80]!r} is not one of {', '.join(TreeSort)}"
        ) from error
    return TreeView(
        nodes=tuple(_parse_node(node) for node in message.nodes),
        sort=sort,
        reversed=message.reversed,
        phases=parse_phases(message.phases, "view.phases"),
        text=message.text,
        error_codes=frozenset(message.error_codes),
    )


def _parse_node(message: pb.TreeNode) -> TreeNode:
    return TreeNode(
        parent=names.parse_action(message.parent) if message.parent else None,
        fold=Fold(message.fold.group, message.fold.task) if message.HasField("fold") else None,
        offset=message.offset,
        limit=message.limit,
    )


def _render(tree: Tree) -> pb.Tree:
    return pb.Tree(
        change=tree.change,
        as_of=render_time(tree.as_of),
        phases=render_phases(tree.phases),
        root=None if tree.root is None else _render_row(tree.root),
        windows=[_render_window(window) for window in tree.windows],
        ancestors=[_render_row(row) for row in tree.ancestors],
    )


def render_phases(counts: PhaseCounts) -> Iterable[pb.PhaseCount]:
    return [
        pb.PhaseCount(phase=phase.name.lower(), count=count)
        for phase, count in sorted(counts.items())
    ]


def _render_window(window: TreeWindow) -> pb.TreeWindow:
    return pb.TreeWindow(
        node=window.node,
        total=window.total,
        folds=[_render_fold(each) for each in window.folds],
        folds_left_out=window.folds_left_out,
        names=window.names,
        rows=[_render_row(row) for row in window.rows],
    )


def _render_fold(counts: FoldCounts) -> pb.TreeFoldCounts:
    return pb.TreeFoldCounts(
        fold=pb.TreeFold(group=counts.fold.group, task=counts.fold.task),
        total=sum(counts.phases.values()),
        phases=render_phases(counts.phases),
        shortest=render_duration(counts.shortest),
        median=render_duration(counts.median),
        longest=render_duration(counts.longest),
    )


def _render_row(row: TreeRow) -> pb.TreeRow:
    failure, cache = row.failure, row.cache_status
    return pb.TreeRow(
        name=row.name,
        parent=row.parent or "",
        fold=pb.TreeFold(group=row.fold.group, task=row.fold.task),
        title=row.title,
        kind=row.type.name.lower(),
        phase=row.phase.name.lower(),
        enqueued_at=render_time(row.enqueued_at),
        started_at=render_time(row.started_at),
        ended_at=render_time(row.ended_at),
        attempts=row.attempts,
        latest_attempts=[_render_attempt(attempt) for attempt in row.latest],
        reason=row.reason,
        message=row.message,
        error_kind=failure.kind.name.lower() if failure else "",
        error_code=failure.code if failure else "",
        error=failure.message if failure else "",
        cache_status="" if cache is CacheStatus.DISABLED else cache.name.lower(),
        children=render_phases(row.children),
    )


def _render_attempt(attempt: TreeAttempt) -> pb.TreeAttempt:
    return pb.TreeAttempt(
        number=attempt.number,
        cluster=attempt.cluster,
        phase=attempt.phase.name.lower(),
        available_at=render_time(attempt.available_at),
        leased_at=render_time(attempt.leased_at),
        started_at=render_time(attempt.started_at),
        ended_at=render_time(attempt.ended_at),
        error_code=attempt.error_code,
    )
