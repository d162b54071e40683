"""Rests of items that failed, so that a loop does not try them in every pass."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from shared.kit.backoff import Backoff
from shared.kit.clock import Clock

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Rest:
    failures: int  # in a row
    until: datetime


class Rests(Generic[K]):
    """
    How long each item that failed rests: longer with each failure in a row.

    Known to this replica only: another one, and this one after a restart, tries at once.
    """

    def __init__(self, backoff: Backoff, clock: Clock) -> None:
        self._backoff = backoff
        self._clock = clock
        self._of: dict[K, _Rest] = {}

    def is_resting(self, item: K) -> bool:
        rest = self._of.get(item)
        return rest is not None and rest.until > self._clock.now()

    def begin(self, item: K) -> None:
        """Let an item rest that has failed."""
        before = self._of.get(item)
        failures = 1 if before is None else before.failures + 1
        self._of[item] = _Rest(failures, self._clock.now() + self._backoff.delay(failures))

    def end(self, item: K) -> None:
        """Forget the failures of an item that has succeeded."""
        self._of.pop(item, None)

    def forget_old(self) -> None:
        """Forget items that were not tried for long after their rest; call it once in a pass."""
        before = self._clock.now() - self._backoff.at_most
        for item in [each for each, rest in self._of.items() if rest.until < before]:
            del self._of[item]
