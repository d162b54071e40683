"""
Maintains the tree of a watched run's actions: which changed, and which ancestors that changes.

PURE. For each action the tree counts its descendants by phase, and knows whether the action is
shown: it or one of its descendants matches the filter. Actions come in any order; a child may
come before its parent.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controlplane.core.actions import ActionRow
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Test
from shared.model.ids import ActionName
from shared.model.phases import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An action to show, or to remove, once, because it no longer matches the filter."""

    row: ActionRow
    meets_filter: bool
    below: Mapping[Phase, int]


def meets_all(filters: Sequence[Filter]) -> Callable[[ActionRow], bool]:
    """Build the predicate of a watch's filters: on names, and on phases."""
    tests = [_test(condition) for condition in filters]
    return lambda row: all(test(row) for test in tests)


def _test(condition: Filter) -> Callable[[ActionRow], bool]:
    match condition.field.lower(), condition.test:
        case "name", (Test.CONTAINS | Test.CONTAINS_CASE_INSENSITIVE):
            part = "".join(condition.values).lower()
            return lambda row: any(
                part in name.lower() for name in (row.key.name, row.info.short_name, row.info.name)
            )
        case "phase", (Test.IN | Test.EQUAL):
            phases = frozenset(condition.values)
            return lambda row: str(row.phase.value) in phases
        case field, test:
            raise InvalidError(
                f"filter: {field} {test} is not watched; watch name contains, or phase in"
            )


class ActionTree:
    def __init__(self, meets: Callable[[ActionRow], bool]) -> None:
        self._meets = meets
        self._rows: dict[ActionName, ActionRow] = {}
        # Of descendants. Kept for a parent that has not come yet as well: it takes the counts over.
        self._phases: dict[ActionName, Counter[Phase]] = {}
        self._matches: Counter[ActionName] = Counter()
        self._shown: set[ActionName] = set()

    def take(self, rows: Iterable[ActionRow]) -> None:
        """Apply a part of a snapshot, of which nothing is shown yet."""
        for row in rows:
            self._take(row)

    def all_shown(self) -> Iterator[Shown]:
        """Yield every action to show, made as it is read: a large tree is never whole."""
        for name in self._rows:
            shown = self._show(name)
            if shown is not None:
                yield shown

    def apply(self, rows: Iterable[ActionRow]) -> Sequence[Shown]:
        """Apply the latest rows; return every action that looks different now."""
        changed: dict[ActionName, None] = {}  # a set that keeps its order
        for row in rows:
            self._take(row)
            changed[row.key.name] = None
            changed.update(dict.fromkeys(self._above(row)))
        return [shown for name in changed if (shown := self._show(name)) is not None]

    def _take(self, row: ActionRow) -> None:
        before = self._rows.get(row.key.name)
        self._rows[row.key.name] = row
        if before is None and row.key.name not in self._phases:  # most actions have no children
            matches = self._meets(row)
            for name in self._above(row):
                self._phases.setdefault(name, Counter())[row.phase] += 1
                self._matches[name] += matches
            return
        change: Counter[Phase] = Counter({row.phase: 1})
        matched = int(self._meets(row))
        if before is None:
            change.update(self._phases.get(row.key.name, {}))
            matched += self._matches[row.key.name]
        else:
            change.subtract({before.phase: 1})
            matched -= int(self._meets(before))
        for name in self._above(row):
            self._phases.setdefault(name, Counter()).update(change)
            self._matches[name] += matched

    def _above(self, row: ActionRow) -> Iterable[ActionName]:
        name = row.parent
        while name is not None:
            yield name
            parent = self._rows.get(name)
            name = None if parent is None else parent.parent

    def _show(self, name: ActionName) -> Shown | None:
        row = self._rows.get(name)
        if row is None:
            return None
        meets = self._meets(row)
        visible = meets or self._matches[name] > 0
        if not visible and name not in self._shown:
            return None
        (self._shown.add if visible else self._shown.discard)(name)
        below = {phase: count for phase, count in self._phases.get(name, {}).items() if count}
        return Shown(row=row, meets_filter=meets, below=below)
