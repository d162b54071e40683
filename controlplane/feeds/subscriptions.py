"""Subscriptions of watchers: buffers of pending changes, bounded by the number of actions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.core.actions import ActionRow
from shared.model.ids import ActionId, ActionName, RunId


@dataclass(eq=False, slots=True)
class ChangeSubscription:
    """
    Pending changes of a run's actions: of all, of the children of one, or of one alone.

    Holds at most one row per action, so its size is bounded by the run's; a slow watcher skips
    intermediate states and always gets the latest.
    """

    parent: ActionName | None = None
    name: ActionName | None = None
    _pending: dict[ActionId, ActionRow] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, row: ActionRow) -> None:
        """Keep the row if it matches and is newer than the pending one of its action."""
        if self.parent is not None and row.parent != self.parent:
            return
        if self.name is not None and row.key.name != self.name:
            return
        known = self._pending.get(row.id)
        if known is None or known.change < row.change:
            self._pending[row.id] = row
        self._woken.set()

    async def take(self) -> Sequence[ActionRow]:
        """Wait for changes and take all pending ones, in order of change."""
        await self._woken.wait()
        self._woken.clear()
        taken = sorted(self._pending.values(), key=lambda row: row.change)
        self._pending.clear()
        return taken


@dataclass(eq=False, slots=True)
class RunsSubscription:
    """Ids of an org's changed runs; an offered ``None`` means that any run may have changed."""

    _pending: set[RunId] = field(default_factory=set)
    _every: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    MAX_PENDING = 2_000

    def offer(self, run: RunId | None) -> None:
        """Keep the run's id; past ``MAX_PENDING`` ids, note only that any may have changed."""
        if run is None or len(self._pending) >= self.MAX_PENDING:
            self._every = True
            self._pending.clear()
        elif not self._every:
            self._pending.add(run)
        self._woken.set()

    async def take(self) -> Sequence[RunId] | None:
        """Wait for changes; None when too many runs changed to name them: list again."""
        await self._woken.wait()
        self._woken.clear()
        taken = None if self._every else sorted(self._pending)
        self._pending.clear()
        self._every = False
        return taken
