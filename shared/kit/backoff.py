"""Exponential backoff with jitter: the delay before the next try, after failures in a row."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

_MOST_STEPS = 64  # more would overflow a float, and no cap is that far away


class Attempts(Protocol):
    """State of a tenacity loop, of which only the count matters here."""

    @property
    def attempt_number(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """
    Delays that grow from ``first`` by ``factor`` up to ``at_most``.

    ``jitter`` is the random share of a delay, from 0 (none) to 1 (all of it), so that clients
    that failed together do not try again together.
    """

    first: timedelta
    at_most: timedelta
    factor: float = 2.0
    jitter: float = 1.0

    def delay(self, failures: int) -> timedelta:
        """Return the delay after that many failures in a row, at least one."""
        steps = min(failures - 1, _MOST_STEPS)
        grown = self.first.total_seconds() * self.factor**steps
        longest = timedelta(seconds=min(grown, self.at_most.total_seconds()))
        return jittered(longest, self.jitter)

    def wait(self, state: Attempts) -> float:
        """Return the delay in seconds, for a loop of tenacity: pass this as its ``wait``."""
        return self.delay(state.attempt_number).total_seconds()


def jittered(longest: timedelta, jitter: float = 1.0) -> timedelta:
    """Return a random duration up to ``longest``, of which the share ``jitter`` is random."""
    return longest * random.uniform(1 - jitter, 1)  # noqa: S311 - spreads load, keeps no secret
