"""
Use cases of a run's tree: read the windows of a view, and watch them.

A watch reads its windows again when the run changed, and sends the difference. So it needs no
history, and nothing is lost with a notification. Watchers of the same view of a run share these
reads, and the time between two is at least ten times what the last one took: however large the run
and however many watch it, a view costs a tenth of a connection at most.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from controlplane.core.actions import ActionType
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import NotFoundError
from controlplane.core.reason_codes import Reason
from controlplane.core.run_trees import PhaseCounts, Tree, TreeRow, TreeView, difference
from controlplane.feeds.feeds import Feeds
from controlplane.feeds.subscriptions import RunsSubscription
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.explanations import list_dispatches_of
from controlplane.store.resources import run_trees as store
from controlplane.store.resources.runs import find_run, get_change
from controlplane.usecases.explanations import explain_dispatches
from shared.kit.clock import Clock
from shared.model.ids import ActionName, OrgName, RunId, RunKey
from shared.model.phases import TERMINAL, Phase

INTERVAL = timedelta(milliseconds=500)
"""Least time between two reads of a watched view."""
SHARE = 10
"""A watched view is read for at most one part in this many of the time."""
MOST_INTERVAL = timedelta(minutes=1)
REASONS_INTERVAL = timedelta(seconds=10)
"""A view of a live run is read this often without a change: reasons of waiting change by themselves."""
MOST_COUNTED = 1_000
"""Runs of which the counts are remembered, which hold until the run changes."""


@dataclass(frozen=True, slots=True)
class _View:
    org: OrgName
    run: RunId
    key: RunKey
    view: TreeView


@dataclass(eq=False, slots=True)
class _SharedRead:
    """The latest reading of a view, for all who watch it."""

    watchers: int = 0
    tree: Tree | None = None
    began: float = float("-inf")  # event loop time
    ended: float = float("-inf")
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, since: float, read: Callable[[], Awaitable[Tree]]) -> Tree:
        """Return a reading that began at ``since`` or later: another watcher's if there is one."""
        async with self._reading:
            if self.tree is None or self.began < since:
                loop = asyncio.get_running_loop()
                began = loop.time()
                self.tree = await read()
                self.began, self.ended = began, loop.time()
            return self.tree

    def next_at(self) -> float:
        """Return the event loop time before which the view is not read again."""
        pause = max(INTERVAL.total_seconds(), SHARE * (self.ended - self.began))
        return self.ended + min(pause, MOST_INTERVAL.total_seconds())


class RunTrees:
    """Use cases of trees; without ``feeds`` a watch looks for changes at intervals only."""

    def __init__(self, database: Database, clock: Clock, feeds: Feeds | None) -> None:
        self._database = database
        self._clock = clock
        self._feeds = feeds
        self._shared: dict[_View, _SharedRead] = {}
        self._counted: OrderedDict[tuple[OrgName, RunId], tuple[int, PhaseCounts]] = OrderedDict()

    async def get(self, caller: Caller, run: RunKey, view: TreeView) -> Tree:
        """Read a view; NotFoundError."""
        return await self._read(await self._find(caller, run, view))

    async def watch(self, caller: Caller, run: RunKey, view: TreeView) -> AsyncIterator[Tree]:
        """Yield a view, then its differences (``core.run_trees``), until cancelled."""
        of = await self._find(caller, run, view)
        subscribed = nullcontext() if self._feeds is None else self._feeds.runs(caller.org)
        with subscribed as changes, self._share(of) as shared:
            tree = await self._open(shared, of)
            yield tree
            while True:
                since = await self._until_changed(changes, of.run, is_live=_is_live(tree))
                await asyncio.sleep(shared.next_at() - since)
                fresh = await shared.read(since, lambda: self._read(of))
                changed = difference(tree, fresh)
                tree = fresh
                if changed is not None:
                    yield changed

    async def _open(self, shared: _SharedRead, of: _View) -> Tree:
        """Read a view for a new watcher; as many at once as other watches are opened."""
        since = asyncio.get_running_loop().time()
        async with nullcontext() if self._feeds is None else self._feeds.opening():
            return await shared.read(since, lambda: self._read(of))

    async def _until_changed(
        self, changes: RunsSubscription | None, run: RunId, *, is_live: bool
    ) -> float:
        """Wait until the run may have changed; return the event loop time of that."""
        timeout = REASONS_INTERVAL.total_seconds() if is_live else None
        if changes is None:
            await asyncio.sleep((REASONS_INTERVAL if is_live else MOST_INTERVAL).total_seconds())
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while not _includes(await changes.take(), run):
                        # Other runs of the org may change hundreds of times a second.
                        await self._clock.sleep(INTERVAL)
        return asyncio.get_running_loop().time()

    @contextmanager
    def _share(self, of: _View) -> Iterator[_SharedRead]:
        shared = self._shared.setdefault(of, _SharedRead())
        shared.watchers += 1
        try:
            yield shared
        finally:
            shared.watchers -= 1
            if not shared.watchers:
                del self._shared[of]

    async def _find(self, caller: Caller, run: RunKey, view: TreeView) -> _View:
        caller.require(Permission.ACTION_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await find_run(tx, run)
        if found is None:
            raise NotFoundError("run", run)
        return _View(caller.org, found, run, view)

    async def _read(self, of: _View) -> Tree:
        now = self._clock.now()
        async with self._database.for_org(of.org) as tx:
            counts = await self._count(tx, of.run)
            tree = await store.read_tree(tx, of.run, of.view, counts, now)
            if tree is None:  # it was deleted meanwhile
                raise NotFoundError("run", of.key)
            return await self._explain(tx, of.key, tree)

    async def _count(self, tx: OrgTx, run: RunId) -> PhaseCounts:
        """Count a run's actions by phase, if it changed since they were counted."""
        change = await get_change(tx, run)  # first: what changes meanwhile is counted again
        known = self._counted.pop((tx.org, run), None)
        if known is None or known[0] != change:
            known = change, await store.count_phases(tx, run)
        self._counted[tx.org, run] = known
        if len(self._counted) > MOST_COUNTED:
            self._counted.popitem(last=False)
        return known[1]

    async def _explain(self, tx: OrgTx, key: RunKey, tree: Tree) -> Tree:
        """Add the reasons of actions that have not ended."""
        shown = [row for window in tree.windows for row in window.rows]
        shown += [*tree.ancestors, *([tree.root] if tree.root else [])]
        live = {row.id for row in shown if row.phase not in TERMINAL}
        if not live:
            return tree
        dispatches = await list_dispatches_of(tx, key, sorted(live))
        pending = await explain_dispatches(tx, dispatches, self._clock.now())
        why = {each.action.name: (each.why.reason.value, each.why.message) for each in pending}
        return replace(
            tree,
            root=None if tree.root is None else _explained(tree.root, why),
            ancestors=[_explained(row, why) for row in tree.ancestors],
            windows=[
                replace(window, rows=[_explained(row, why) for row in window.rows])
                for window in tree.windows
            ],
        )


def _explained(row: TreeRow, why: Mapping[ActionName, tuple[str, str]]) -> TreeRow:
    if row.phase in TERMINAL:
        return row
    if row.type is ActionType.CONDITION:
        reason, message = Reason.SIGNAL.value, "It waits for a signal."
    elif row.name in why:
        reason, message = why[row.name]
    elif row.phase is Phase.QUEUED:  # only those that wait for another have no dispatch
        reason = Reason.EQUAL_ACTION.value
        message = "It waits for an equal action to end, and gets its outputs."
    else:
        return row
    return replace(row, reason=reason, message=message)


def _includes(changed: Collection[RunId] | None, run: RunId) -> bool:
    return changed is None or run in changed  # None: any may have changed


def _is_live(tree: Tree) -> bool:
    return any(phase not in TERMINAL for phase in tree.phases)
