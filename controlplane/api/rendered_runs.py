"""
Keeps the actions of watched runs as serialised messages, for all who watch them.

To read and render an action costs twenty times what its bytes cost to send. So one watcher of a
run reads it, and the next ones read only what changed since. A kept run is complete up to a
number of the run's changes (``change``), which only grows: a reader that is cancelled leaves less
to read, and nothing is wrong after a lost notification.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flyteidl2.workflow.run_definition_pb2 import EnrichedAction
from flyteidl2.workflow.run_service_pb2 import WatchActionsResponse

from controlplane.api.convert.actions import render_action, render_similar
from controlplane.api.trees import ActionTree, Shown, TreeAction
from controlplane.core.actions import ActionRow, SimilarActions, SnapshotPart
from controlplane.core.profiles import Profile
from shared.model.ids import OrgName, RunId

MOST_KEPT = 200_000
"""Actions of runs that have no watcher now: about a third of a kilobyte of memory for each."""
RUN_WEIGHT = 5
"""What a kept run costs beside its actions, in actions: 1.6 kB, so that many small runs count too."""


@dataclass(frozen=True, slots=True)
class RenderedKey:
    """A run, and its creator's profile: who has another name now is shown by it."""

    org: OrgName
    run: RunId
    creator: str
    profile: Profile | None


@dataclass(slots=True)
class RenderedAction(TreeAction):
    """One action; ``body`` is a WatchActionsResponse with it, without counts of its descendants."""

    change: int
    body: bytes


class RenderedRun:
    """The actions of one run; ``tree`` counts all of them, for watchers without a filter."""

    def __init__(self, key: RenderedKey) -> None:
        self.key = key
        self.change = 0
        self.loading = asyncio.Lock()
        self.watchers = 0
        self.tree: ActionTree[RenderedAction] = ActionTree(None)
        self._profiles = {} if key.profile is None else {key.creator: key.profile}

    def __len__(self) -> int:
        return len(self.tree.actions)

    @property
    def weight(self) -> int:
        """The memory of the run, in actions."""
        return len(self) + RUN_WEIGHT

    def take(self, rows: Sequence[ActionRow]) -> Sequence[RenderedAction]:
        """
        Take rows in order of change, and return their actions as they are now.

        Call it with the rows that follow ``change`` at the time of the call or before it.
        """
        taken = [self._take(row) for row in rows]
        if rows:
            self.change = max(self.change, rows[-1].change)
        return taken

    def take_snapshot(self, part: SnapshotPart) -> None:
        """Take the actions that follow ``change``."""
        for similar in part.similar:
            self._take_similar(similar)
        self.change = max(self.change, part.change)

    def _take(self, row: ActionRow) -> RenderedAction:
        known = self.tree.actions.get(row.key.name)
        if known is not None and known.change >= row.change:
            return known
        enriched = EnrichedAction(action=render_action(row, self._profiles), meets_filter=True)
        body = WatchActionsResponse(enriched_actions=[enriched]).SerializeToString()
        info = row.info
        action = RenderedAction(
            row.key.name, row.parent, row.phase, info.short_name, info.name, row.change, body
        )
        self.tree.take([action])
        return action

    def _take_similar(self, similar: SimilarActions) -> None:
        known = self.tree.actions.get
        responses = render_similar(similar, self._profiles)
        row = similar.example
        parent, short_name, task_name = row.parent, row.info.short_name, row.info.name
        taken = [
            RenderedAction(
                name, parent, phase, short_name, task_name, change, response.SerializeToString()
            )
            for name, phase, change, response in zip(
                similar.names, similar.phases, similar.changes, responses, strict=True
            )
            if (before := known(name)) is None or before.change < change
        ]
        self.tree.take_siblings(parent, taken)


class RenderedRuns:
    """The runs that are watched, and those that were lately, up to ``most_kept`` actions."""

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._watched: dict[RenderedKey, RenderedRun] = {}
        self._kept: OrderedDict[RenderedKey, RenderedRun] = OrderedDict()  # without watchers
        self._weight = 0  # of those that are kept, which change only while they are watched

    @contextmanager
    def watched(self, key: RenderedKey) -> Iterator[RenderedRun]:
        """Keep a run for the duration of a block, and afterwards while there is space."""
        run = self._watched.get(key)
        if run is None:
            run = self._watched[key] = self._take_kept(key)
        run.watchers += 1
        try:
            yield run
        finally:
            run.watchers -= 1
            if not run.watchers:
                del self._watched[key]
                self._keep(run)

    def _take_kept(self, key: RenderedKey) -> RenderedRun:
        """Return the run that was kept, or else an empty one."""
        run = self._kept.pop(key, None)
        if run is None:
            return RenderedRun(key)
        self._weight -= run.weight
        return run

    def _keep(self, run: RenderedRun) -> None:
        """Keep a run that has no watcher, and forget those that were watched least recently."""
        self._kept[run.key] = run
        self._weight += run.weight
        while self._weight > self._most_kept:
            _, oldest = self._kept.popitem(last=False)
            self._weight -= oldest.weight


def render_page(shown: Iterable[Shown[RenderedAction]]) -> WatchActionsResponse:
    """Join actions to one message: messages that follow each other are merged when parsed."""
    return WatchActionsResponse.FromString(b"".join(_body(each) for each in shown))


def _body(shown: Shown[RenderedAction]) -> bytes:
    if shown.meets_filter and not shown.below:
        return shown.action.body
    response = WatchActionsResponse.FromString(shown.action.body)
    [enriched] = response.enriched_actions
    enriched.meets_filter = shown.meets_filter
    enriched.children_phase_counts.update(
        {phase.value: count for phase, count in shown.below.items()}
    )
    body: bytes = response.SerializeToString()
    return body
