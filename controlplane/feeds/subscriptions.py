"""What one watcher has not taken yet: the latest of each action, and no more than that."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.core.actions import ActionRow
from shared.model.ids import ActionId, ActionName, RunId


@dataclass(eq=False, slots=True)
class ChangeSubscription:
    """
    Changes of a run's actions: of all, of the children of one, or of one alone.

    Holds at most one row per action, so its size is bounded by the run's; a watcher that
    is slow skips states in between and misses none at the end.
    """

    parent: ActionName | None = None
    name: ActionName | None = None
    _pending: dict[ActionId, ActionRow] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, row: ActionRow) -> None:
        if self.parent is not None and row.parent != self.parent:
            return
        if self.name is not None and row.key.name != self.name:
            return
        known = self._pending.get(row.id)
        if known is None or known.change < row.change:
            self._pending[row.id] = row
        self._woken.set()

    async def take(self) -> Sequence[ActionRow]:
        """Wait for changes and take all there are, in order of change."""
        await self._woken.wait()
        self._woken.clear()
        taken = sorted(self._pending.values(), key=lambda row: row.change)
        self._pending.clear()
        return taken


@dataclass(eq=False, slots=True)
class RunsSubscription:
    """Which of an org's runs changed; ``None`` among them means any may have."""

    _pending: set[RunId] = field(default_factory=set)
    _every: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    MAX_PENDING = 2_000

    def offer(self, run: RunId | None) -> None:
        if run is None or len(self._pending) >= self.MAX_PENDING:
            self._every = True
            self._pending.clear()
        elif not self._every:
            self._pending.add(run)
        self._woken.set()

    async def take(self) -> Sequence[RunId] | None:
        """Wait for changes; None when too much changed to name: list again."""
        await self._woken.wait()
        self._woken.clear()
        taken = None if self._every else sorted(self._pending)
        self._pending.clear()
        self._every = False
        return taken
