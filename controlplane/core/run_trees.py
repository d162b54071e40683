"""
Windows of a run's tree: which nodes a viewer has open, their counts and rows, and what changed. PURE.

A fold is the children of an action with the same group and task. Rows have timestamps and no
durations, so a row differs from an earlier one only if its action changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from controlplane.core.actions import ActionType
from controlplane.core.caching import CacheStatus
from controlplane.core.errors import InvalidError
from shared.model.ids import ActionId, ActionName
from shared.model.phases import Phase
from shared.model.reports import Failure

MAX_NODES = 50
MAX_ROWS_OF_NODE = 200
MAX_ROWS = 1_000
MAX_OFFSET = 10_000_000
MAX_FOLDS = 200
LATEST_ATTEMPTS = 10
"""Attempts in a row, the latest ones."""

PhaseCounts = Mapping[Phase, int]


class TreeSort(StrEnum):
    """Orders of rows; each falls back on the name."""

    ATTENTION = "attention"  # failed first, then the longest
    DURATION = "duration"
    NAME = "name"
    START = "start"
    WAIT = "wait"  # until the first start


@dataclass(frozen=True, slots=True)
class Fold:
    """A group and a task's name, "" of traces and conditions."""

    group: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """An open node and its window; a parent of None stands for all actions of the run."""

    parent: ActionName | None
    fold: Fold | None = None
    offset: int = 0
    limit: int = MAX_ROWS_OF_NODE


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeView:
    """
    The part of a tree to show: open nodes, the order of rows, and filters, which are joined by AND.

    InvalidError names the part that is out of its limits.
    """

    nodes: tuple[TreeNode, ...] = ()
    sort: TreeSort = TreeSort.ATTENTION
    reversed: bool = False
    phases: frozenset[Phase] = frozenset()  # empty: any
    text: str = ""
    error_codes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if len(self.nodes) > MAX_NODES:
            raise InvalidError(
                f"view.nodes: has {len(self.nodes)} nodes; send those that are visible, "
                f"at most {MAX_NODES}"
            )
        for node in self.nodes:
            if not 0 <= node.limit <= MAX_ROWS_OF_NODE:
                raise InvalidError(f"view.nodes.limit: must be from 0 to {MAX_ROWS_OF_NODE}")
            if not 0 <= node.offset <= MAX_OFFSET:
                raise InvalidError(f"view.nodes.offset: must be from 0 to {MAX_OFFSET}")
            if node.parent is None and node.fold is not None:
                raise InvalidError("view.nodes.fold: name the parent whose children it folds")
        if sum(node.limit for node in self.nodes) > MAX_ROWS:
            raise InvalidError(f"view.nodes: ask for at most {MAX_ROWS} rows together")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeAttempt:
    """Timestamps of one attempt; it waited for a cluster from ``available_at``."""

    number: int
    cluster: str
    phase: Phase
    available_at: datetime
    leased_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRow:
    """One action; ``reason`` and ``message`` explain one that has not ended."""

    id: ActionId
    name: ActionName
    parent: ActionName | None
    fold: Fold
    title: str
    type: ActionType
    phase: Phase
    enqueued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    attempts: int
    cache_status: CacheStatus
    failure: Failure | None
    latest: tuple[TreeAttempt, ...] = ()
    reason: str = ""
    message: str = ""
    children: PhaseCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldCounts:
    """Counts of a fold's actions that pass the filters; durations are of those that ended."""

    fold: Fold
    phases: PhaseCounts
    shortest: timedelta | None
    median: timedelta | None
    longest: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWindow:
    """
    The window of the node at position ``node`` of the view.

    ``names`` are of its rows, in order; ``rows`` has them all, or in a difference those that changed.
    """

    node: int
    total: int
    folds: Sequence[FoldCounts]
    folds_left_out: int
    names: Sequence[ActionName]
    rows: Sequence[TreeRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A view of a run's tree; in a difference ``phases`` and ``root`` may be missing."""

    change: int
    as_of: datetime
    phases: PhaseCounts
    root: TreeRow | None
    windows: Sequence[TreeWindow]
    ancestors: Sequence[TreeRow] = ()


def difference(before: Tree, after: Tree) -> Tree | None:
    """Return what changed between two readings of the same view; None if nothing did."""
    known = {window.node: window for window in before.windows}
    windows = [
        changed
        for window in after.windows
        if (changed := _window_difference(known[window.node], window)) is not None
    ]
    ancestors = _changed(before.ancestors, after.ancestors)
    phases = after.phases if after.phases != before.phases else {}
    root = after.root if after.root != before.root else None
    if not (windows or ancestors or phases or root):
        return None
    return replace(after, phases=phases, root=root, windows=windows, ancestors=ancestors)


def _window_difference(before: TreeWindow, after: TreeWindow) -> TreeWindow | None:
    rows = _changed(before.rows, after.rows)
    if replace(before, rows=()) == replace(after, rows=()) and not rows:
        return None
    return replace(after, rows=rows)


def _changed(before: Sequence[TreeRow], after: Sequence[TreeRow]) -> Sequence[TreeRow]:
    known = {row.id: row for row in before}
    return [row for row in after if known.get(row.id) != row]


def first_line(message: str, *, most: int = 300) -> str:
    """Return the line of an error's message to show: a traceback's last, of others the first."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    line = lines[-1] if lines[0].startswith("Traceback (") else lines[0]
    return line if len(line) <= most else f"{line[: most - 1]}…"
