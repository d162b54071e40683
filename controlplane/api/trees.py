"""
Maintains the tree of a watched run's actions: which changed, and which ancestors that changes.

PURE. For each action the tree counts its descendants by phase, and knows whether the action is
shown: it or one of its descendants matches the filter. Actions come in any order; a child may
come before its parent.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Test
from shared.model.ids import ActionName
from shared.model.phases import Phase


@dataclass(slots=True)
class TreeAction:
    """The part of an action that its place in the tree and the filters depend on."""

    name: ActionName
    parent: ActionName | None
    phase: Phase
    short_name: str
    task_name: str


A = TypeVar("A", bound=TreeAction)
Meets = Callable[[TreeAction], bool]


@dataclass(slots=True)
class Shown(Generic[A]):
    """An action to show, or to remove, once, because it no longer matches the filter."""

    action: A
    meets_filter: bool
    below: Mapping[Phase, int]


def meets_all(filters: Sequence[Filter]) -> Meets | None:
    """Build the predicate of a watch's filters, on names and on phases; None: all are shown."""
    tests = [_test(condition) for condition in filters]
    return (lambda action: all(test(action) for test in tests)) if tests else None


def _test(condition: Filter) -> Meets:
    match condition.field.lower(), condition.test:
        case "name", (Test.CONTAINS | Test.CONTAINS_CASE_INSENSITIVE):
            part = "".join(condition.values).lower()
            return lambda action: any(
                part in name.lower() for name in (action.name, action.short_name, action.task_name)
            )
        case "phase", (Test.IN | Test.EQUAL):
            phases = frozenset(condition.values)
            return lambda action: str(action.phase.value) in phases
        case field, test:
            raise InvalidError(
                f"filter: {field} {test} is not watched; watch name contains, or phase in"
            )


class ActionTree(Generic[A]):
    """The tree for watchers with one filter; ``meets`` of None matches every action."""

    def __init__(self, meets: Meets | None) -> None:
        self._meets = meets
        self.actions: dict[ActionName, A] = {}  # written by ``take`` and ``apply``
        # Of descendants. Kept for a parent that has not come yet as well: it takes the counts over.
        self._phases: dict[ActionName, Counter[Phase]] = {}
        self._matches: Counter[ActionName] = Counter()
        self._shown: set[ActionName] = set()

    def take(self, actions: Iterable[A]) -> None:
        """Apply a part of a snapshot, of which nothing is shown yet."""
        for action in actions:
            self._take(action)

    def take_siblings(self, parent: ActionName | None, actions: Sequence[A]) -> None:
        """
        Apply a part of a snapshot in which all actions have this parent.

        They are counted together if all are new and nothing is below them, as is usual.
        """
        known, below = self.actions, self._phases
        if self._meets is not None or any(
            each.name in known or each.name in below for each in actions
        ):
            self.take(actions)
            return
        known.update({each.name: each for each in actions})
        phases = Counter([each.phase for each in actions])
        for above in self._ancestors(parent):
            below.setdefault(above, Counter()).update(phases)

    def all_shown(self) -> Iterator[Shown[A]]:
        """
        Yield every action to show, made as it is read: a large tree is never whole.

        Actions that are taken meanwhile are not among them: their change is applied later.
        """
        for name in list(self.actions):
            shown = self._show(name)
            if shown is not None:
                yield shown

    def apply(self, actions: Iterable[A]) -> Sequence[Shown[A]]:
        """Apply the latest actions; return each that looks different now."""
        changed: dict[ActionName, None] = {}  # a set that keeps its order
        for action in actions:
            self._take(action)
            changed[action.name] = None
            changed.update(dict.fromkeys(self._above(action)))
        return [shown for name in changed if (shown := self._show(name)) is not None]

    def _take(self, action: A) -> None:
        before = self.actions.get(action.name)
        if before is action:  # another watcher's change
            return
        if before is not None and before.parent != action.parent:  # a program reported another one
            self._add(before, -1)
            before = None
        self.actions[action.name] = action
        if before is None:
            self._add(action, 1)
            return
        phases = Counter({action.phase: 1})
        phases.subtract({before.phase: 1})
        matched = self._matched(action) - self._matched(before)
        for above in self._above(action):
            self._phases.setdefault(above, Counter()).update(phases)
            self._matches[above] += matched

    def _add(self, action: A, times: int) -> None:
        """Add an action and all below it to its ancestors' counts, or remove it (-1)."""
        below, matched = self._phases.get(action.name), self._matched(action)
        if below is not None:
            matched += self._matches[action.name]
        for above in self._above(action):
            phases = self._phases.get(above)
            if phases is None:
                phases = self._phases[above] = Counter()
            phases[action.phase] += times
            if below is not None:  # most actions have no children
                for phase, count in below.items():
                    phases[phase] += times * count
            if matched:
                self._matches[above] += times * matched

    def _matched(self, action: A) -> int:
        return int(self._meets is not None and self._meets(action))

    def _above(self, action: A) -> Iterable[ActionName]:
        return self._ancestors(action.parent)

    def _ancestors(self, name: ActionName | None) -> Iterable[ActionName]:
        while name is not None:
            yield name
            parent = self.actions.get(name)
            name = None if parent is None else parent.parent

    def _show(self, name: ActionName) -> Shown[A] | None:
        action = self.actions.get(name)
        if action is None:
            return None
        phases = self._phases.get(name)
        below = {phase: count for phase, count in phases.items() if count} if phases else {}
        if self._meets is None:
            return Shown(action, True, below)
        meets = self._meets(action)
        visible = meets or self._matches[name] > 0
        if not visible and name not in self._shown:
            return None
        (self._shown.add if visible else self._shown.discard)(name)
        return Shown(action, meets, below)
